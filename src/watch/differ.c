#include "watch/differ.h"

/* The answer lacks an item that was there. */
static enum err_kind take_missing(const struct differ *d, const struct item *item,
				  int64_t before_ns, int64_t now_ns, struct listing *ret,
				  struct err *err)
{
	const struct change removed = {
		.kind = CHANGE_REMOVED,
		.item = item,
		.before = item,
		.from_ns = item->seen_ns,
		.to_ns = item->missing_ns,
	};
	struct item *kept;
	enum err_kind rc;

	if (item->missing_ns != LISTING_NO_TIME)
		return d->take(d->arg, &removed, err);
	rc = listing_copy(ret, item, &kept, err);
	if (rc)
		return rc;
	kept->seen_ns = before_ns;
	kept->missing_ns = now_ns;
	return ERR_NONE;
}

static enum err_kind take_present(const struct differ *d, const struct item *before,
				  const struct change *change, struct listing *ret, struct err *err)
{
	struct item *kept;
	enum err_kind rc = ERR_NONE;

	if (!before || !item_is_like(before, change->after, ret->shape->field_count))
		rc = d->take(d->arg, change, err);
	return rc ? rc : listing_copy(ret, change->after, &kept, err);
}

enum err_kind differ_run(const struct differ *d, const struct dated *before,
			 const struct dated *now, struct listing *ret, struct err *err)
{
	size_t b = 0, n = 0;
	struct item *kept;
	enum err_kind rc = ERR_NONE;

	while (!rc && (b < before->list->count || n < now->list->count)) {
		const struct item *was = b < before->list->count ? &before->list->items[b] : NULL;
		const struct item *is = n < now->list->count ? &now->list->items[n] : NULL;
		int order = !was ? 1 : !is ? -1 : item_compare(was, is);
		const struct change change = {
			.kind = order == 0 ? CHANGE_CHANGED : CHANGE_ADDED,
			.item = is,
			.before = order == 0 ? was : NULL,
			.after = is,
			/* That the answer before lacked it says nothing of what it was then. */
			.from_ns = order == 0 && was->missing_ns != LISTING_NO_TIME ? was->seen_ns
										    : before->ns,
			.to_ns = now->ns,
		};

		if (order < 0 && now->part)
			rc = listing_copy(ret, was, &kept, err);
		else if (order < 0)
			rc = take_missing(d, was, before->ns, now->ns, ret, err);
		else
			rc = take_present(d, change.before, &change, ret, err);
		b += order <= 0;
		n += order >= 0;
	}
	return rc ? rc : listing_end(ret, err);
}
