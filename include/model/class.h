#ifndef MODEL_CLASS_H
#define MODEL_CLASS_H

/*
 * class: the closed lists of what a fact can be.
 *
 * classes.def and actions.def are the lists; every name in them is what stands
 * in the columns `class` and `action`, and comes with a sentence that says
 * what it means. Adding one is adding one line there.
 *
 * Threads: pure functions over constants.
 */

#include "base/span.h"
#include "base/util.h"

enum line_class {
#define CLASS(name, retention, doc) CLASS_##name,
#include "model/classes.def"
#undef CLASS
	CLASS_COUNT
};

enum action {
#define ACTION(ident, text, class, severity, doc) ACTION_##ident,
#include "model/actions.def"
#undef ACTION
	ACTION_COUNT
};

/* How far a row can be believed: who wrote what it was made from. */
enum trust {
	TRUST_PLATFORM, /* runner, proxy, health: written outside the machine        */
	TRUST_GUEST,    /* written inside the machine, where the application could too */
	TRUST_API,      /* Fly's control plane                                        */
	TRUST_SELF,     /* flytrail about itself                                      */
	TRUST_COUNT
};

/* OCSF severity_id. */
enum severity {
	SEVERITY_UNKNOWN = 0,
	SEVERITY_INFO = 1,
	SEVERITY_LOW = 2,
	SEVERITY_MEDIUM = 3,
	SEVERITY_HIGH = 4,
	SEVERITY_CRITICAL = 5,
	SEVERITY_FATAL = 6,
};

const char *class_name(enum line_class c);
const char *class_retention(enum line_class c); /* "security", "operations"; "" for app_log */

const char *action_name(enum action a); /* "ssh_session.opened"; "" for ACTION_none */
enum line_class action_class(enum action a);
enum severity action_severity(enum action a);
const char *action_doc(enum action a);

const char *trust_name(enum trust t);

#endif
