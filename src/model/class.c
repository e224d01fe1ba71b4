#include "model/class.h"

struct class_row {
	const char *name, *retention;
};

static const struct class_row classes[] = {
#define CLASS(name, retention, doc) {#name, retention},
#include "model/classes.def"
#undef CLASS
};

struct action_row {
	const char *name, *doc;
	enum line_class class;
	enum severity severity;
};

static const struct action_row actions[] = {
#define ACTION(ident, text, class, severity, doc) {text, doc, CLASS_##class, SEVERITY_##severity},
#include "model/actions.def"
#undef ACTION
};

_Static_assert(CLASS_COUNT <= 256 && ACTION_COUNT <= 256, "a byte each in a spool payload");

static const struct class_row *class_row(enum line_class c)
{
	REQUIRE(c < CLASS_COUNT);
	return &classes[c];
}

static const struct action_row *action_row(enum action a)
{
	REQUIRE(a < ACTION_COUNT);
	return &actions[a];
}

const char *class_name(enum line_class c)
{
	return class_row(c)->name;
}

const char *class_retention(enum line_class c)
{
	return class_row(c)->retention;
}

const char *action_name(enum action a)
{
	return action_row(a)->name;
}

enum line_class action_class(enum action a)
{
	return action_row(a)->class;
}

enum severity action_severity(enum action a)
{
	return action_row(a)->severity;
}

const char *action_doc(enum action a)
{
	return action_row(a)->doc;
}

const char *trust_name(enum trust t)
{
	switch (t) {
	case TRUST_PLATFORM: return "platform";
	case TRUST_GUEST: return "guest";
	case TRUST_API: return "api";
	case TRUST_SELF: return "self";
	case TRUST_COUNT: break;
	}
	REQUIRE(t < TRUST_COUNT);
	return "";
}
