CREATE TABLE ecauto_data.mail_template (
	name text COLLATE "C" NOT NULL,
	locale text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	created_at timestamptz NOT NULL,
	created_by name NOT NULL,
	subject text,
	html text,
	body text,
	sample jsonb,
	partials text[] COLLATE "C" NOT NULL,
	PRIMARY KEY (name, locale),
	CHECK (html IS NOT NULL OR body IS NOT NULL)
);
COMMENT ON TABLE ecauto_data.mail_template IS
	'mail templates as they are used, one row for each locale; written by ecauto.create_template() alone, which checks them';
COMMENT ON COLUMN ecauto_data.mail_template.locale IS
	'like pl or pl_PL; empty: for all that have none of their own';
COMMENT ON COLUMN ecauto_data.mail_template.subject IS
	'NULL: no mail, only a part that other templates include';
COMMENT ON COLUMN ecauto_data.mail_template.body IS
	'text part; NULL: made from html when it is rendered';
COMMENT ON COLUMN ecauto_data.mail_template.sample IS
	'data in which every variable of the template is found; NULL: not checked';
COMMENT ON COLUMN ecauto_data.mail_template.partials IS
	'names of the templates that this one includes';

CREATE TABLE ecauto_data.mail_template_history (
	name text COLLATE "C" NOT NULL,
	locale text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	replaced_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	created_by name NOT NULL,
	subject text,
	html text,
	body text,
	sample jsonb,
	PRIMARY KEY (name, locale, version)
);
COMMENT ON TABLE ecauto_data.mail_template_history IS
	'earlier versions of mail templates, replaced or dropped at replaced_at';
