#include "source/reading.h"

#include "base/time.h"

static bool is_sure(const struct reading *r)
{
	return r->sure_ns >= r->head_ns;
}

void reading_first(struct reading *r, const struct logs_page *page, int64_t asked_ns,
		   int64_t late_ns)
{
	bool was_sure = is_sure(r);

	if (page->next_ns > r->head_ns)
		r->head_ns = page->next_ns;
	/* What was old enough at once needs no second reading. */
	if (was_sure && asked_ns - late_ns > r->sure_ns)
		r->sure_ns = time_earlier(r->head_ns, asked_ns - late_ns);
	if (page->end)
		r->checked_ns = asked_ns;
}

bool reading_begin_second(struct reading *r, int64_t now_ns, int64_t late_ns)
{
	if (is_sure(r) || r->sure_ns >= now_ns - late_ns)
		return false;
	r->until_ns = time_earlier(r->head_ns, now_ns - late_ns);
	return true;
}

void reading_second(struct reading *r, const struct logs_page *page)
{
	r->sure_ns = page->end ? r->until_ns : time_earlier(page->next_ns, r->until_ns);
	if (r->sure_ns >= r->until_ns)
		r->until_ns = 0;
}

int64_t reading_checked_ns(const struct reading *r)
{
	return is_sure(r) ? r->checked_ns : 0;
}

int64_t reading_vouched_ns(const struct reading *r, int64_t late_ns)
{
	int64_t idle_ns = reading_checked_ns(r) - late_ns;

	return idle_ns > r->sure_ns ? idle_ns : r->sure_ns;
}
