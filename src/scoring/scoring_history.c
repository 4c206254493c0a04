/*-------------------------------------------------------------------------
 *
 * scoring_history.c
 *		Histories of customers, those that are equal put together.
 *
 * The likelihood of a history depends on three numbers, and many customers
 * of a shop share them: 2,357 customers of the CDNOW sample have 1,016
 * histories, and a million who bought once have as many as there are days.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "scoring/scoring.h"

static int
history_compare(const EcHistory *a, const EcHistory *b)
{
	if (a->x != b->x)
		return a->x < b->x ? -1 : 1;
	if (a->t != b->t)
		return a->t < b->t ? -1 : 1;
	if (a->tx != b->tx)
		return a->tx < b->tx ? -1 : 1;
	return 0;
}

#define ST_SORT history_sort
#define ST_ELEMENT_TYPE EcHistory
#define ST_COMPARE(a, b) history_compare(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "miscadmin.h"
#include "lib/sort_template.h"

/*
 * Put equal histories together, in place.  rows: valid ones (0 <= tx <= t,
 * x == 0 or x >= 1).  The result is in the current context and keeps rows.
 */
EcHistories *
ec_histories_group(EcHistory *rows, int nrows)
{
	EcHistories *result = palloc0(sizeof(EcHistories));
	int			n = 0;

	history_sort(rows, nrows);
	for (int i = 0; i < nrows; i++)
	{
		if (n > 0 && history_compare(&rows[n - 1], &rows[i]) == 0)
			rows[n - 1].n += rows[i].n;
		else
			rows[n++] = rows[i];
		result->customers += rows[i].n;
		if (rows[i].x > 0)
			result->repeaters += rows[i].n;
		result->purchases += rows[i].x * rows[i].n;
		result->t_max = Max(result->t_max, rows[i].t);
	}
	result->rows = rows;
	result->nrows = n;
	return result;
}
