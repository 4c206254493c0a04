/*-------------------------------------------------------------------------
 *
 * recommend_setting.c
 *		How recommendations are solved for and used: what an operator, or
 *		evaluate_recommendations(), chose.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "recommend/recommend.h"

/* up to so many skus, more neighbours are solved for */
#define FEW_SKUS 5000
#define NEIGHBOURS_FEW_SKUS 200
#define NEIGHBOURS 100

const char *const ec_task_names[EC_TASKS] = {"customer", "basket"};

/* Where there is no row; docs/recommend.md says how they were found. */
EcSetting
ec_setting_default(EcTask task)
{
	return task == EC_TASK_CUSTOMER ? (EcSetting) {0, 20, 0.5, 180, 0.15} : (EcSetting) {0, 1, 0, 0, 0};
}

/*
 * The setting for a task.  The caller is connected to SPI and acts as the
 * owner of the state.
 */
EcSetting
ec_setting_read(EcTask task)
{
	static const Oid types[] = {TEXTOID};
	EcSetting	setting = ec_setting_default(task);
	Datum		args[1];
	bool		isnull;
	HeapTuple	row;
	TupleDesc	desc;

	args[0] = CStringGetTextDatum(ec_task_names[task]);
	/* not read-only: a build reads what it has just chosen */
	if (SPI_execute_plan(ec_plan("SELECT coalesce(neighbours, 0), lambda, coalesce(dropout, 0), "
								 "coalesce(half_life, 0), coalesce(popular, 0) "
								 "FROM ecauto_data.recommend_setting WHERE task = $1", 1, types),
						 args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the settings of recommendations");
	if (SPI_processed == 0)
		return setting;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	setting.neighbours = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	setting.lambda = DatumGetFloat8(SPI_getbinval(row, desc, 2, &isnull));
	setting.dropout = DatumGetFloat8(SPI_getbinval(row, desc, 3, &isnull));
	setting.half_life = DatumGetFloat8(SPI_getbinval(row, desc, 4, &isnull));
	setting.popular = DatumGetFloat8(SPI_getbinval(row, desc, 5, &isnull));
	return setting;
}

int
ec_setting_neighbours(const EcSetting *setting, int nskus)
{
	return setting->neighbours > 0 ? setting->neighbours : nskus <= FEW_SKUS ? NEIGHBOURS_FEW_SKUS : NEIGHBOURS;
}
