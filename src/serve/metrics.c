#include "serve/metrics.h"

#include "base/version.h"

#include <inttypes.h>

#define PREFIX "flytrail_"

struct value {
	enum { VALUE_WHOLE, VALUE_SECONDS, VALUE_NEVER } kind;
	uint64_t n; /* nanoseconds of VALUE_SECONDS */
};

static struct value whole(uint64_t n)
{
	return (struct value){.kind = VALUE_WHOLE, .n = n};
}

static struct value seconds(int64_t ns)
{
	return (struct value){.kind = VALUE_SECONDS, .n = ns > 0 ? (uint64_t)ns : 0};
}

static struct value age(const struct look *l, int64_t then_ns)
{
	return then_ns != 0 ? seconds(look_age_ns(l, then_ns))
			    : (struct value){.kind = VALUE_NEVER};
}

static struct value moment(int64_t at_ns)
{
	return at_ns != 0 ? seconds(at_ns) : (struct value){.kind = VALUE_NEVER};
}

static struct value left(const struct look *l, const struct sink_status *s)
{
	int64_t misses_ns = sink_status_misses_ns(s, l->now_ns);

	return misses_ns != 0 ? seconds(misses_ns - l->now_ns)
			      : (struct value){.kind = VALUE_NEVER};
}

static void write_seconds(struct buf *out, uint64_t ns)
{
	buf_fmt(out, "%" PRIu64 ".%09" PRIu64, ns / (uint64_t)NS_PER_S, ns % (uint64_t)NS_PER_S);
}

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_fmt(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void write_value(struct buf *out, struct value value)
{
	switch (value.kind) {
	case VALUE_WHOLE: buf_fmt(out, "%" PRIu64, value.n); break;
	case VALUE_SECONDS: write_seconds(out, value.n); break;
	case VALUE_NEVER: buf_str(out, "NaN"); break;
	}
	buf_str(out, "\n");
}

static void write_metric(struct buf *out, const char *name, const char *type, const char *help,
			 struct value value)
{
	write_head(out, name, type, help);
	buf_fmt(out, PREFIX "%s ", name);
	write_value(out, value);
}

static void write_histogram(struct buf *out, const char *name, const char *help,
			    const struct histogram *h)
{
	struct histogram_reading r;

	histogram_read(h, &r);
	write_head(out, name, "histogram", help);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		buf_fmt(out, PREFIX "%s_bucket{le=\"", name);
		write_seconds(out, (uint64_t)histogram_bounds_ns[i]);
		buf_fmt(out, "\"} %" PRIu64 "\n", r.up_to[i]);
	}
	buf_fmt(out, PREFIX "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n" PREFIX "%s_sum ", name, r.count,
		name);
	write_seconds(out, r.sum_ns);
	buf_fmt(out, "\n" PREFIX "%s_count %" PRIu64 "\n", name, r.count);
}

static void write_table(const struct look *l, struct buf *out)
{
	struct status *s = l->status;

#define WHOLE(expr) whole((uint64_t)(expr))
#define SECONDS(expr) seconds(expr)
#define COUNT(field) whole(atomic_load(&s->field))
#define FLAG(field) WHOLE(atomic_load(&s->field))
#define SPOOL(field) WHOLE(l->spool.field)
#define TOLD(field)                                       \
	WHOLE(atomic_load(&s->told[NOTIFY_SLACK].field) + \
	      atomic_load(&s->told[NOTIFY_WEBHOOK].field))
#define AGE(field) age(l, atomic_load(&s->field))
#define MOMENT(field) moment(atomic_load(&s->field))
#define METRIC(type, name, value, help) write_metric(out, #name, #type, help, value);
#define HISTOGRAM(name, field, help) write_histogram(out, #name, help, &s->field);
#include "serve/metrics.def"
#undef HISTOGRAM
#undef METRIC
#undef MOMENT
#undef AGE
#undef TOLD
#undef SPOOL
#undef FLAG
#undef COUNT
#undef SECONDS
#undef WHOLE
}

static bool has_sinks(const struct look *l)
{
	for (size_t i = 0; i < SINK_COUNT; i++)
		if (atomic_load(&l->status->sinks[i].state) != SINK_OFF)
			return true;
	return false;
}

static void write_sinks(const struct look *l, struct buf *out)
{
	struct status *status = l->status;
	const struct sink_status *s;

/* A line for each sink that is on. */
#define SINK_METRIC(type, name, value, help)                                \
	write_head(out, "sink_" #name, #type, help);                        \
	for (size_t i = 0; i < SINK_COUNT; i++) {                           \
		s = &status->sinks[i];                                      \
		if (atomic_load(&s->state) != SINK_OFF) {                   \
			buf_fmt(out, PREFIX "sink_" #name "{sink=\"%s\"} ", \
				sink_name((enum sink_id)i));                \
			write_value(out, value);                            \
		}                                                           \
	}
#define COUNT(field) whole(atomic_load(&s->field))
#define WHOLE(expr) whole((uint64_t)(expr))
#define AGE(field) age(l, atomic_load(&s->field))
#include "serve/sink_metrics.def"
#undef AGE
#undef WHOLE
#undef COUNT
#undef SINK_METRIC
}

static void write_expired(const struct look *l, struct buf *out)
{
	write_head(out, "expired_total", "counter",
		   "Rows that came past keep_at_most of their kind: counted, not stored.");
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		buf_fmt(out, PREFIX "expired_total{kind=\"%s\"} %" PRIu64 "\n",
			limits_kind_name((enum limits_kind)i), atomic_load(&l->status->expired[i]));
}

void metrics_write(const struct look *l, const struct health *health, struct buf *out)
{
	write_head(out, "build_info", "gauge", "1, with the version of this program.");
	buf_str(out, PREFIX "build_info{version=\"" FLYTRAIL_VERSION "\"} 1\n");
	write_table(l, out);
	write_expired(l, out);
	if (has_sinks(l))
		write_sinks(l, out);
	write_head(out, "check_ok", "gauge", "1 where this check of /health is green.");
	for (size_t i = 0; i < health->count; i++)
		buf_fmt(out, PREFIX "check_ok{check=\"%s\"} %d\n", health->checks[i].name,
			health->checks[i].ok ? 1 : 0);
}
