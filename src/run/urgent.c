#include "run/urgent.h"

#include <stdio.h>

void urgent_push(struct urgents *u, const char *app, int64_t from_ns, int64_t to_ns)
{
	struct urgent *added;

	if (u->count == URGENT_MAX) {
		u->first = (u->first + 1) % URGENT_MAX;
		u->count--;
	}
	added = &u->list[(u->first + u->count++) % URGENT_MAX];
	*added = (struct urgent){.from_ns = from_ns, .to_ns = to_ns};
	(void)snprintf(added->app, sizeof(added->app), "%s", app);
}

bool urgent_take(struct urgents *u, int64_t latest_ns, struct urgent *ret)
{
	for (size_t i = 0; i < u->count; i++) {
		struct urgent *found = &u->list[(u->first + i) % URGENT_MAX];

		if (found->to_ns > latest_ns)
			continue;
		*ret = *found;
		*found = u->list[u->first];
		u->first = (u->first + 1) % URGENT_MAX;
		u->count--;
		return true;
	}
	return false;
}
