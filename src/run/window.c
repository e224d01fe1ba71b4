#include "run/window.h"

#include "base/time.h"

#include <stdio.h>

struct window window_of(const struct copy_range *range, const struct copy_result *result)
{
	const char *lack = copy_result_lack(result);

	return (struct window){
		.from_ns = range->from_ns,
		.result = *result,
		.state = lack                    ? "lost"
			 : result->recovered > 0 ? "recovered"
						 : "agrees",
		.why = lack ? lack : "",
	};
}

void windows_add(struct windows *w, const struct window *window)
{
	REQUIRE(w->count < WINDOWS_MAX);
	w->list[w->count++] = *window;
}

bool windows_have(const struct windows *w, int64_t ns)
{
	for (size_t i = 0; i < w->count; i++)
		if (ns >= w->list[i].from_ns && ns + NS_PER_US <= w->list[i].result.through_ns)
			return true;
	return false;
}

enum err_kind window_tell(const struct window *w, const char *app, bool hour_done,
			  struct second_copy *copy, struct trail *trail, struct err *err)
{
	struct fact fact = {
		.action = ACTION_trail_window_checked,
		.noticed_ns = time_now_ns(),
		.gap = {.start_ns = w->from_ns, .end_ns = w->result.through_ns},
		.found = {.state = w->state,
			  .is_loss = strcmp(w->state, "lost") == 0,
			  .hour_done = hour_done,
			  .lines_seen = w->result.seen,
			  .lines_recovered = w->result.recovered,
			  .id_mismatches = w->result.mismatches},
	};

	(void)snprintf(fact.found.app, sizeof(fact.found.app), "%s", app);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", w->why);
	return second_copy_tell(copy, trail, &fact, err);
}

enum err_kind window_tell_alone(const struct copy_range *range, const struct copy_result *result,
				struct second_copy *copy, struct trail *trail, struct err *err)
{
	struct window w = window_of(range, result);
	enum err_kind rc = ERR_NONE;

	if (result->recovered > 0)
		rc = second_copy_settle(copy, err);
	return rc ? rc : window_tell(&w, range->app, false, copy, trail, err);
}

enum err_kind windows_tell(const struct windows *w, const char *app, struct second_copy *copy,
			   struct trail *trail, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	bool recovered = false;

	for (size_t i = 0; i < w->count; i++)
		recovered = recovered || w->list[i].result.recovered > 0;
	if (recovered)
		rc = second_copy_settle(copy, err);
	for (size_t i = 0; i < w->count && !rc; i++)
		rc = window_tell(&w->list[i], app, i + 1 == w->count, copy, trail, err);
	return rc;
}
