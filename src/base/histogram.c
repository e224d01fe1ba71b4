#include "base/histogram.h"

#define US(n) ((n)*INT64_C(1000))
#define MS(n) ((n)*NS_PER_MS)
#define S(n) ((n)*NS_PER_S)

const int64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = {
	US(500), MS(1),   MS(2), MS(5), MS(10), MS(20), MS(50), MS(100),
	MS(200), MS(500), S(1),  S(2),  S(5),   S(10),  S(30),  S(60),
};

void histogram_add(struct histogram *h, int64_t ns)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && ns > histogram_bounds_ns[i])
		i++;
	atomic_fetch_add_explicit(&h->sum_ns, ns > 0 ? (uint64_t)ns : 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
}

void histogram_read(const struct histogram *h, struct histogram_reading *ret)
{
	uint64_t count = 0;

	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		count += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
		ret->up_to[i] = count;
	}
	ret->count =
		count + atomic_load_explicit(&h->counts[HISTOGRAM_BOUNDS], memory_order_relaxed);
	ret->sum_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
}
