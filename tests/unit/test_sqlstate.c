#include "store/sqlstate.h"
#include "names.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	const char *state;
	enum err_kind kind;
	const char *name;
} rows[] = {
	{"40001", ERR_RETRY, "serialization_failure"},
	{"40P01", ERR_RETRY, "deadlock_detected"},
	{"25006", ERR_RETRY, "read_only_sql_transaction"},
	{"57014", ERR_RETRY, "query_canceled"},
	{"57P01", ERR_RETRY, "admin_shutdown"},
	{"57P02", ERR_RETRY, "crash_shutdown"},
	{"57P03", ERR_RETRY, "cannot_connect_now"},
	{"53100", ERR_RETRY, "disk_full"},
	{"53200", ERR_RETRY, "out_of_memory"},
	{"53300", ERR_RETRY, "too_many_connections"},
	{"08000", ERR_RETRY, "connection_exception"},
	{"08006", ERR_RETRY, "connection_failure"},
	{"08P01", ERR_RETRY, "protocol_violation"},
	{"22021", ERR_REJECT, "character_not_in_repertoire"},
	{"22P05", ERR_REJECT, "untranslatable_character"},
	{"22P02", ERR_REJECT, "invalid_text_representation"},
	{"22P03", ERR_REJECT, "invalid_binary_representation"},
	{"22008", ERR_REJECT, "datetime_field_overflow"},
	{"23502", ERR_REJECT, "not_null_violation"},
	{"23514", ERR_REJECT, "check_violation"},
	{"54000", ERR_REJECT, "program_limit_exceeded"},
	{"2BP01", ERR_REJECT, "dependent_objects_still_exist"},
	{"28000", ERR_CONFIG, "invalid_authorization_specification"},
	{"28P01", ERR_CONFIG, "invalid_password"},
	{"3D000", ERR_CONFIG, "invalid_catalog_name"},
	{"3F000", ERR_CONFIG, "invalid_schema_name"},
	{"42501", ERR_CONFIG, "insufficient_privilege"},
	{"42P01", ERR_CONFIG, "undefined_table"},
	{"42703", ERR_CONFIG, "undefined_column"},
	{"FT002", ERR_REJECT, "flytrail's own: retention says no"},
	{"25P02", ERR_RETRY, "in_failed_sql_transaction: no row, so it may work later"},
	{"55P03", ERR_RETRY, "lock_not_available"},
	{"58030", ERR_RETRY, "io_error"},
	{"XX000", ERR_RETRY, "internal_error"},
	{"ZZZZZ", ERR_RETRY, "none that there is"},
};

static void every_state_leads_to_what_its_row_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (sqlstate_kind(rows[i].state) != rows[i].kind)
			fail_msg("%s (%s) is %s", rows[i].state, rows[i].name,
				 err_kind_name(sqlstate_kind(rows[i].state)));
	}
}

static void what_is_no_sqlstate_may_work_later(void **state)
{
	(void)state;
	assert_int_equal(sqlstate_kind(NULL), ERR_RETRY);
	assert_int_equal(sqlstate_kind(""), ERR_RETRY);
	assert_int_equal(sqlstate_kind("22"), ERR_RETRY);
	assert_int_equal(sqlstate_kind("220211"), ERR_RETRY);
}

static void what_no_row_names_is_unknown(void **state)
{
	(void)state;
	assert_true(sqlstate_is_unknown("XX000"));
	assert_true(sqlstate_is_unknown("P0001"));
	assert_false(sqlstate_is_unknown("55P03"));
	assert_false(sqlstate_is_unknown("58030"));
	assert_false(sqlstate_is_unknown("25P02"));
	assert_false(sqlstate_is_unknown("22021"));
	assert_false(sqlstate_is_unknown(""));
	assert_false(sqlstate_is_unknown(NULL));
}

static void only_a_unique_violation_is_a_duplicate(void **state)
{
	(void)state;
	assert_true(sqlstate_is_duplicate("23505"));
	assert_false(sqlstate_is_duplicate("23503"));
	assert_false(sqlstate_is_duplicate(""));
	assert_false(sqlstate_is_duplicate(NULL));
}

static void a_check_violation_without_a_name_is_a_missing_partition(void **state)
{
	(void)state;
	assert_true(sqlstate_is_no_partition("23514", NULL));
	assert_true(sqlstate_is_no_partition("23514", ""));
	assert_false(sqlstate_is_no_partition("23514", "log_lines_check"));
	assert_false(sqlstate_is_no_partition("23505", NULL));
	assert_false(sqlstate_is_no_partition(NULL, NULL));
}

static void words_about_data_are_kept_back(void **state)
{
	(void)state;
	assert_true(sqlstate_quotes_data("22P02"));
	assert_true(sqlstate_quotes_data("23505"));
	assert_true(sqlstate_quotes_data("P0001"));
	assert_false(sqlstate_quotes_data("42501"));
	assert_false(sqlstate_quotes_data(""));
	assert_false(sqlstate_quotes_data(NULL));
}

static void flytrails_own_are_told_from_the_rest(void **state)
{
	(void)state;
	assert_true(sqlstate_is_own("FT001"));
	assert_false(sqlstate_is_own("22023"));
	assert_false(sqlstate_is_own("FT"));
	assert_false(sqlstate_is_own(NULL));
	assert_false(sqlstate_quotes_data("FT002"));
}

static void what_migrate_makes_and_is_not_there_is_told_from_the_rest(void **state)
{
	(void)state;
	assert_true(sqlstate_lacks_schema("42P01"));
	assert_true(sqlstate_lacks_schema("42703"));
	assert_true(sqlstate_lacks_schema("3F000"));
	assert_false(sqlstate_lacks_schema("42501"));
	assert_false(sqlstate_lacks_schema("3D000"));
	assert_false(sqlstate_lacks_schema(""));
	assert_false(sqlstate_lacks_schema(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_leads_to_what_its_row_says),
		cmocka_unit_test(what_is_no_sqlstate_may_work_later),
		cmocka_unit_test(what_no_row_names_is_unknown),
		cmocka_unit_test(only_a_unique_violation_is_a_duplicate),
		cmocka_unit_test(a_check_violation_without_a_name_is_a_missing_partition),
		cmocka_unit_test(words_about_data_are_kept_back),
		cmocka_unit_test(flytrails_own_are_told_from_the_rest),
		cmocka_unit_test(what_migrate_makes_and_is_not_there_is_told_from_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
