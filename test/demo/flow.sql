\echo
\echo 'What the flow did about the two carts, and why. ecauto.explain_run():'
SELECT c.name, to_char(e.at, 'HH24:MI:SS') AS at, e.step, e.outcome, left(e.operands::text, 80) AS "looked at"
FROM demo.cart c JOIN ecauto.runs('abandoned_cart') r ON r.subject = 'cart:' || c.cart,
	ecauto.explain_run(r.run_id) WITH ORDINALITY e
WHERE e.outcome <> 'stay' ORDER BY c.n, e.ordinality;
