#ifndef BASE_XML_H
#define BASE_XML_H

/*
 * xml: reading an XML document by libexpat, which is met here alone.
 *
 * Of each element, at its end, the caller is told where it stands, as the names from the
 * root to it, without prefixes of namespaces, and the text in it:
 *
 *	ListBucketResult/Contents/Key		lines/date=2026-11-26/...
 *	ListBucketResult/Contents		(what follows its last inner element)
 *	ListBucketResult
 *
 * Attributes, comments and processing instructions are passed over. A document type
 * declaration is refused, and with it every entity but the five that XML has itself: so
 * nothing is read but the document, and no text is longer than its bytes.
 *
 * Ownership: spans are lent for the call.
 * Threads:   none shared.
 * Limits:    XML_DEPTH_MAX elements in each other, XML_TEXT_BYTES_MAX of a text and of a path.
 * Errors:    ERR_REJECT: no XML within the bounds. ERR_FATAL: no memory.
 */

#include "base/buf.h"

enum { XML_DEPTH_MAX = 16, XML_TEXT_BYTES_MAX = 8192 };

struct xml_calls {
	void (*element)(void *arg, struct span path, struct span text);
	void *arg;
};

/* The document is UTF-8, whatever it says itself. */
NODISCARD enum err_kind xml_read(struct span document, const struct xml_calls *calls,
				 struct err *err);

const char *xml_library_version(void); /* of libexpat */

#endif
