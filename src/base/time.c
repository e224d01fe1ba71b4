#include "base/time.h"

#include <time.h>

enum {
	SECONDS_PER_DAY = 86400,
	SECONDS_PER_HOUR = 3600,
	SECONDS_PER_MINUTE = 60,
	FRACTION_DIGITS = 9,
	DATE_TIME_BYTES = 19,  /* 2026-03-07T15:20:03 */
	DAYS_PER_ERA = 146097, /* 400 Gregorian years */
	DAYS_TO_1970 = 719468, /* from 0000-03-01 */
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	MUST0(clock_gettime(clock, &ts));
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t time_now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t time_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Days since 1970-01-01. Years begin in March here, so that the leap day comes last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400; /* no year before 0000 comes in */
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

/* What is left to read; once something does not fit, bad stays set. */
struct reader {
	struct span left;
	bool bad;
};

/* Two digits of what is known to have them; bad where they are none. */
static int64_t two_digits(const char *at, bool *bad)
{
	unsigned tens = (unsigned)(unsigned char)at[0] - '0';
	unsigned ones = (unsigned)(unsigned char)at[1] - '0';

	*bad |= tens > 9 || ones > 9;
	return tens * 10 + ones;
}

static int64_t read_two_digits(struct reader *r)
{
	int64_t value;

	if (r->left.len < 2) {
		r->bad = true;
		return 0;
	}
	value = two_digits(r->left.data, &r->bad);
	r->left = span_after(r->left, 2);
	return value;
}

static bool take(struct reader *r, char wanted)
{
	if (r->left.len == 0 || r->left.data[0] != wanted)
		return false;
	r->left = span_after(r->left, 1);
	return true;
}

static void need(struct reader *r, char wanted)
{
	if (!take(r, wanted))
		r->bad = true;
}

static bool date_exists(int64_t year, int64_t month, int64_t day)
{
	static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (month < 1 || month > 12 || day < 1)
		return false;
	return day <= month_days[month - 1] + (leap && month == 2 ? 1 : 0);
}

/* The seconds of "2026-03-07T15:20:03", whose every part has its place. */
static int64_t read_seconds(struct reader *r)
{
	const char *at = r->left.data;
	int64_t year, month, day, hour, minute, second;

	if (r->left.len < DATE_TIME_BYTES) {
		r->bad = true;
		return 0;
	}
	year = two_digits(at, &r->bad) * 100 + two_digits(at + 2, &r->bad);
	month = two_digits(at + 5, &r->bad);
	day = two_digits(at + 8, &r->bad);
	hour = two_digits(at + 11, &r->bad);
	minute = two_digits(at + 14, &r->bad);
	second = two_digits(at + 17, &r->bad);
	r->bad |= at[4] != '-' || at[7] != '-' || at[13] != ':' || at[16] != ':';
	r->bad |= at[10] != 'T' && at[10] != 't' && at[10] != ' ';
	r->bad |= hour > 23 || minute > 59 || second > 60; /* 60: a leap second */
	r->left = span_after(r->left, DATE_TIME_BYTES);
	if (r->bad || !date_exists(year, month, day)) {
		r->bad = true;
		return 0;
	}
	return days_of(year, month, day) * SECONDS_PER_DAY + hour * SECONDS_PER_HOUR +
	       minute * SECONDS_PER_MINUTE + second;
}

/* Nanoseconds of the fraction, if there is one. */
static int64_t read_fraction(struct reader *r, unsigned *ret_digits)
{
	unsigned digits = 0;
	int64_t ns = 0;

	*ret_digits = 0;
	if (!take(r, '.'))
		return 0;
	while (r->left.len > 0 && r->left.data[0] >= '0' && r->left.data[0] <= '9') {
		if (digits < FRACTION_DIGITS)
			ns = ns * 10 + (r->left.data[0] - '0');
		digits++;
		r->left = span_after(r->left, 1);
	}
	for (unsigned i = digits; i < FRACTION_DIGITS; i++)
		ns *= 10;
	r->bad |= digits == 0;
	*ret_digits = digits;
	return ns;
}

/* Seconds east of UTC. */
static int64_t read_zone(struct reader *r, bool optional)
{
	int64_t hours, minutes;
	bool west;

	if (take(r, 'Z') || take(r, 'z') || (optional && r->left.len == 0))
		return 0;
	west = take(r, '-');
	if (!west)
		need(r, '+');
	hours = read_two_digits(r);
	need(r, ':');
	minutes = read_two_digits(r);
	if (hours > 23 || minutes > 59)
		r->bad = true;
	hours = hours * SECONDS_PER_HOUR + minutes * SECONDS_PER_MINUTE;
	return west ? -hours : hours;
}

/* False where an int64_t cannot hold it. */
static bool join(int64_t seconds, int64_t fraction_ns, int64_t *ret_ns)
{
	int64_t ns;

	/* The first second of the range begins below it: come to it from above. */
	if (seconds < 0 && fraction_ns > 0) {
		seconds++;
		fraction_ns -= NS_PER_S;
	}
	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, fraction_ns, &ns))
		return false;
	*ret_ns = ns;
	return true;
}

bool time_parse(struct span text, bool zone_optional, int64_t *ret_ns, unsigned *ret_digits)
{
	struct reader r = {.left = text};
	unsigned digits;
	int64_t seconds, fraction_ns;

	seconds = read_seconds(&r);
	fraction_ns = read_fraction(&r, &digits);
	seconds -= read_zone(&r, zone_optional);
	if (r.bad || r.left.len > 0 || !join(seconds, fraction_ns, ret_ns))
		return false;
	*ret_digits = digits;
	return true;
}

static void write_digits(char *at, unsigned count, int64_t value)
{
	for (unsigned i = count; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
}

/* days_of() backwards. */
static void write_date(char *at, int64_t days)
{
	int64_t shifted = days + DAYS_TO_1970; /* positive from the year 0000 on */
	int64_t era = shifted / DAYS_PER_ERA;
	int64_t day_of_era = shifted - era * DAYS_PER_ERA;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
			       day_of_era / (DAYS_PER_ERA - 1)) /
			      365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	int64_t month = month_from_march + (month_from_march < 10 ? 3 : -9);

	write_digits(at, 4, year_of_era + era * 400 + (month <= 2 ? 1 : 0));
	write_digits(at + 5, 2, month);
	write_digits(at + 8, 2, day_of_year - (153 * month_from_march + 2) / 5 + 1);
}

const char *time_format(int64_t ns, char text[TIME_TEXT_BYTES])
{
	int64_t seconds = ns / NS_PER_S;
	int64_t fraction = ns % NS_PER_S;
	int64_t days;

	if (fraction < 0) {
		fraction += NS_PER_S;
		seconds--;
	}
	days = seconds / SECONDS_PER_DAY;
	seconds %= SECONDS_PER_DAY;
	if (seconds < 0) {
		seconds += SECONDS_PER_DAY;
		days--;
	}
	memcpy(text, "0000-00-00T00:00:00.000000000Z", TIME_TEXT_BYTES);
	write_date(text, days);
	write_digits(text + 11, 2, seconds / SECONDS_PER_HOUR);
	write_digits(text + 14, 2, seconds / SECONDS_PER_MINUTE % 60);
	write_digits(text + 17, 2, seconds % 60);
	write_digits(text + 20, FRACTION_DIGITS, fraction);
	return text;
}
