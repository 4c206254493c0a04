/*-------------------------------------------------------------------------
 *
 * report_chart.c
 *		Charts of the report, as SVG inside HTML.
 *
 * A chart is a picture without words: an SVG that is stretched to whatever
 * room the page has (preserveAspectRatio "none", strokes that do not scale),
 * and around it labels in HTML, which are as large on a phone as on paper.
 * Colours are classes, s1 to s4, so that the page's style sheet decides about
 * them in the light and in the dark.  For those who do not see it the SVG is an
 * image with a title and a description; the page shows the numbers in a table
 * beside it.
 *
 * Steps of the scale are 1, 2 or 5 times a power of ten: Heckbert, Nice Numbers
 * for Graph Labels, in Graphics Gems (1990).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

/* the coordinates inside the SVG */
#define CHART_WIDTH 1000.0
#define CHART_HEIGHT 400.0

/* more places than that are no chart any more */
#define CHART_MOST_PLACES 2000

/* labels below a chart: as many as fit side by side on a phone */
#define CHART_LABELS 5

typedef enum ChartStyle
{
	CHART_BAR,
	CHART_LINE,
	CHART_DASH,					/* a broken line */
	CHART_LOW,					/* the lower and */
	CHART_HIGH					/* the upper edge of a band */
} ChartStyle;

static const char *const style_names[] = {"bar", "line", "dash", "low", "high"};

typedef struct Chart
{
	int			places;
	int			nseries;
	const ChartStyle *styles;	/* of each series */
	const double *values;		/* series by series; NaN: none */
	double		bottom;			/* of the scale: zero, or below it if values are */
	double		top;
	double		step;
} Chart;

PG_FUNCTION_INFO_V1(ecauto_report_chart);

static double
chart_value(const Chart *chart, int series, int place)
{
	return chart->values[(Size) series * chart->places + place];
}

static double
chart_x(const Chart *chart, double place)
{
	return CHART_WIDTH * place / chart->places;
}

static double
chart_y(const Chart *chart, double value)
{
	return CHART_HEIGHT * (1 - (value - chart->bottom) / (chart->top - chart->bottom));
}

/* The scale: from zero to a round number not below the highest value, in at most five steps. */
static void
chart_scale(Chart *chart)
{
	double		low = 0;
	double		high = 0;
	double		rough;
	double		power;

	for (Size i = 0; i < (Size) chart->nseries * chart->places; i++)
	{
		if (isnan(chart->values[i]))
			continue;
		low = Min(low, chart->values[i]);
		high = Max(high, chart->values[i]);
	}
	if (high - low < 1e-9)
		high = 1;
	rough = (high - low) / 4;
	power = pow(10, floor(log10(rough)));
	chart->step = power * (rough <= power ? 1 : rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10);
	chart->bottom = floor(low / chart->step) * chart->step;
	chart->top = ceil(high / chart->step) * chart->step;
}

/* A number in few letters: 950, 1.2k, 3M. */
static void
append_short(StringInfo out, double value, double step)
{
	static const struct
	{
		double		unit;
		const char *name;
	}			units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};

	for (int i = 0; i < lengthof(units); i++)
	{
		if (fabs(value) >= units[i].unit)
		{
			appendStringInfo(out, "%.*f%s", fmod(step, units[i].unit) == 0 ? 0 : fmod(step, units[i].unit / 10) == 0 ? 1 : 2,
							 value / units[i].unit, units[i].name);
			return;
		}
	}
	appendStringInfo(out, "%.*f", step >= 1 || value == 0 ? 0 : Min(6, (int) ceil(-log10(step))), value);
}

/* Text into HTML, in text or attributes. */
static void
append_escaped(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		switch (*text)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(out, "&#39;");
				break;
			default:
				appendStringInfoChar(out, *text);
		}
	}
}

static void
append_grid(StringInfo out, const Chart *chart)
{
	int			steps = (int) rint((chart->top - chart->bottom) / chart->step);

	appendStringInfoString(out, "<g class=\"grid\">");
	for (int i = 0; i <= steps; i++)
	{
		double		y = chart_y(chart, chart->bottom + i * chart->step);

		appendStringInfo(out, "<line x1=\"0\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"%s/>",
						 CHART_WIDTH, y, y, fabs(chart->bottom + i * chart->step) < chart->step / 2 ? " class=\"zero\"" : "");
	}
	appendStringInfoString(out, "</g>");
}

/* Bars of one place stand side by side: this is number bar of nbars. */
static void
append_bars(StringInfo out, const Chart *chart, int series, int bar, int nbars)
{
	double		width = 0.8 / nbars;
	double		zero = chart_y(chart, 0);

	appendStringInfo(out, "<g class=\"bar s%d\">", series % 4 + 1);
	for (int place = 0; place < chart->places; place++)
	{
		double		value = chart_value(chart, series, place);
		double		y;

		if (isnan(value))
			continue;
		y = chart_y(chart, value);
		appendStringInfo(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
						 chart_x(chart, place + 0.1 + bar * width), Min(y, zero), chart_x(chart, width),
						 fabs(zero - y));
	}
	appendStringInfoString(out, "</g>");
}

/* Neighbours are joined; where there is no value the line is interrupted, and a value alone is a stroke. */
static void
append_line(StringInfo out, const Chart *chart, int series)
{
	int			place = 0;

	while (place < chart->places)
	{
		int			first = place;

		if (isnan(chart_value(chart, series, place)))
		{
			place++;
			continue;
		}
		while (place < chart->places && !isnan(chart_value(chart, series, place)))
			place++;
		appendStringInfo(out, "<polyline class=\"%s s%d\" points=\"",
						 chart->styles[series] == CHART_DASH ? "line dash" : "line", series % 4 + 1);
		if (place == first + 1)
		{
			double		y = chart_y(chart, chart_value(chart, series, first));

			appendStringInfo(out, "%.1f,%.1f %.1f,%.1f", chart_x(chart, first + 0.2), y, chart_x(chart, first + 0.8), y);
		}
		else
		{
			for (int i = first; i < place; i++)
				appendStringInfo(out, "%s%.1f,%.1f", i > first ? " " : "", chart_x(chart, i + 0.5),
								 chart_y(chart, chart_value(chart, series, i)));
		}
		appendStringInfoString(out, "\"/>");
	}
}

/* The area between two series, where both have values. */
static void
append_band(StringInfo out, const Chart *chart, int low, int high)
{
	int			place = 0;

	while (place < chart->places)
	{
		int			first = place;

		while (place < chart->places && !isnan(chart_value(chart, low, place)) &&
			   !isnan(chart_value(chart, high, place)))
			place++;
		if (place == first)
		{
			place++;
			continue;
		}
		appendStringInfoString(out, "<polygon class=\"band\" points=\"");
		for (int i = first; i < place; i++)
			appendStringInfo(out, "%.1f,%.1f ", chart_x(chart, i + 0.5), chart_y(chart, chart_value(chart, high, i)));
		for (int i = place - 1; i >= first; i--)
			appendStringInfo(out, "%.1f,%.1f%s", chart_x(chart, i + 0.5),
							 chart_y(chart, chart_value(chart, low, i)), i > first ? " " : "");
		appendStringInfoString(out, "\"/>");
	}
}

static void
append_picture(StringInfo out, const Chart *chart)
{
	int			low = -1;
	int			high = -1;
	int			nbars = 0;
	int			bar = 0;

	for (int series = 0; series < chart->nseries; series++)
	{
		low = chart->styles[series] == CHART_LOW ? series : low;
		high = chart->styles[series] == CHART_HIGH ? series : high;
		nbars += chart->styles[series] == CHART_BAR;
	}
	append_grid(out, chart);
	if (low >= 0 && high >= 0)
		append_band(out, chart, low, high);
	for (int series = 0; series < chart->nseries; series++)
	{
		if (chart->styles[series] == CHART_BAR)
			append_bars(out, chart, series, bar++, nbars);
	}
	for (int series = 0; series < chart->nseries; series++)
	{
		if (chart->styles[series] == CHART_LINE || chart->styles[series] == CHART_DASH)
			append_line(out, chart, series);
	}
}

static void
append_labels(StringInfo out, const Chart *chart, Datum *labels, const bool *nulls)
{
	int			steps = (int) rint((chart->top - chart->bottom) / chart->step);
	int			shown = Min(CHART_LABELS, chart->places);

	appendStringInfoString(out, "<div class=\"y\" aria-hidden=\"true\">");
	for (int i = 0; i <= steps; i++)
	{
		appendStringInfo(out, "<span style=\"bottom:%.1f%%\">", 100.0 * i / steps);
		append_short(out, chart->bottom + i * chart->step, chart->step);
		appendStringInfoString(out, "</span>");
	}
	appendStringInfoString(out, "</div><div class=\"x\" aria-hidden=\"true\">");
	for (int i = 0; i < shown; i++)
	{
		/* the first, the last, and what lies evenly between them */
		int			place = shown == 1 ? 0 : (int) rint((double) i * (chart->places - 1) / (shown - 1));

		appendStringInfo(out, "<span style=\"left:%.1f%%\">", 100.0 * (place + 0.5) / chart->places);
		if (!nulls[place])
			append_escaped(out, TextDatumGetCString(labels[place]));
		appendStringInfoString(out, "</span>");
	}
	appendStringInfoString(out, "</div>");
}

/* The styles of the series by their names; error: one that is unknown. */
static ChartStyle *
styles_read(ArrayType *array, int *n)
{
	Datum	   *names;
	bool	   *nulls;
	ChartStyle *styles;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, n);
	styles = palloc(sizeof(ChartStyle) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		const char *name = nulls[i] ? "null" : TextDatumGetCString(names[i]);
		int			style = 0;

		while (style < lengthof(style_names) && strcmp(style_names[style], name) != 0)
			style++;
		if (style == lengthof(style_names))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown style of a series"),
					 errdetail("The style is \"%s\".", name),
					 errhint("It must be bar, line, dash, low or high.")));
		styles[i] = (ChartStyle) style;
	}
	return styles;
}

/* The values, series by series; what is no finite number is a gap. */
static double *
values_read(ArrayType *array, int expected)
{
	Datum	   *datums;
	bool	   *nulls;
	double	   *values;
	int			n;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &datums, &nulls, &n);
	if (n != expected)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a chart must have a value for each place of each series"),
				 errdetail("There are %d values for %d places of all series.", n, expected)));
	values = palloc(sizeof(double) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		double		value = nulls[i] ? get_float8_nan() : DatumGetFloat8(datums[i]);

		/* sums and differences of what is drawn must stay finite */
		values[i] = isfinite(value) && fabs(value) < DBL_MAX / 8 ? value : get_float8_nan();
	}
	return values;
}

/*
 * ecauto.report_chart(title text, description text, labels text[],
 *					   "values" float8[], styles text[]) RETURNS text
 *
 * "values": of all places of the first series, then of the second, ...; NULL
 * if an argument is (it is strict) or there is no place.
 */
Datum
ecauto_report_chart(PG_FUNCTION_ARGS)
{
	char	   *title = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *description = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Datum	   *labels;
	bool	   *nulls;
	uint32		id = hash_bytes((unsigned char *) title, (int) strlen(title));
	StringInfoData out;
	Chart		chart = {0};

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &labels, &nulls, &chart.places);
	if (chart.places > CHART_MOST_PLACES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a chart must not have more than %d places", CHART_MOST_PLACES),
				 errdetail("It has %d.", chart.places)));
	chart.styles = styles_read(PG_GETARG_ARRAYTYPE_P(4), &chart.nseries);
	if ((int64) chart.nseries * chart.places > MaxArraySize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a chart must not have more than %d values", (int) MaxArraySize)));
	chart.values = values_read(PG_GETARG_ARRAYTYPE_P(3), chart.nseries * chart.places);
	if (chart.places == 0)
		PG_RETURN_NULL();
	chart_scale(&chart);

	initStringInfo(&out);
	appendStringInfo(&out, "<div class=\"plot\"><svg viewBox=\"0 0 %.0f %.0f\" preserveAspectRatio=\"none\" role=\"img\""
					 " aria-labelledby=\"t%08x d%08x\"><title id=\"t%08x\">", CHART_WIDTH, CHART_HEIGHT, id, id, id);
	append_escaped(&out, title);
	appendStringInfo(&out, "</title><desc id=\"d%08x\">", id);
	append_escaped(&out, description);
	appendStringInfoString(&out, "</desc>");
	append_picture(&out, &chart);
	appendStringInfoString(&out, "</svg>");
	append_labels(&out, &chart, labels, nulls);
	appendStringInfoString(&out, "</div>");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
