#include "base/xml.h"

#include <expat.h>
#include <limits.h>

struct reading {
	XML_Parser parser;
	const struct xml_calls *calls;
	struct buf path, text;
	size_t starts[XML_DEPTH_MAX]; /* of path: where each element's part begins */
	size_t depth;
	const char *wrong; /* NULL: nothing so far */
};

static void stop(struct reading *r, const char *wrong)
{
	if (!r->wrong)
		r->wrong = wrong;
	(void)XML_StopParser(r->parser, XML_FALSE);
}

static struct span bytes_of(const struct buf *b)
{
	return b->len > 0 ? span_of(b->data, b->len) : SPAN("");
}

static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon && colon[1] != '\0' ? colon + 1 : name;
}

static void XMLCALL begin_element(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = arg;

	(void)attributes;
	if (r->depth == XML_DEPTH_MAX) {
		stop(r, "too many elements in each other");
		return;
	}
	r->starts[r->depth++] = r->path.len;
	buf_str(&r->path, r->depth > 1 ? "/" : "");
	buf_str(&r->path, local_name(name));
	buf_reset(&r->text);
	if (r->path.failed)
		stop(r, "too long a name");
}

static void XMLCALL end_element(void *arg, const XML_Char *name)
{
	struct reading *r = arg;

	(void)name;   /* libexpat has held it against the beginning's */
	if (r->wrong) /* of an empty element libexpat tells the end even then */
		return;
	r->calls->element(r->calls->arg, bytes_of(&r->path), bytes_of(&r->text));
	buf_cut(&r->path, r->starts[--r->depth]);
	buf_reset(&r->text);
}

static void XMLCALL add_text(void *arg, const XML_Char *text, int len)
{
	struct reading *r = arg;

	buf_add(&r->text, text, (size_t)len);
	if (r->text.failed)
		stop(r, "too long a text");
}

static void XMLCALL refuse_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
				   const XML_Char *public_id, int has_internal)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal;
	stop(arg, "a document type declaration");
}

static enum err_kind fail(const struct reading *r, struct err *err)
{
	if (XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY || r->path.failed == ERR_FATAL ||
	    r->text.failed == ERR_FATAL)
		return err_set(err, ERR_FATAL, "out of memory for XML");
	return err_set(err, ERR_REJECT, "it is no XML that can be read: %s",
		       r->wrong ? r->wrong : XML_ErrorString(XML_GetErrorCode(r->parser)));
}

enum err_kind xml_read(struct span document, const struct xml_calls *calls, struct err *err)
{
	const XML_Memory_Handling_Suite memory = {malloc, realloc, free};
	struct reading r = {.calls = calls};
	enum err_kind rc = ERR_NONE;

	if (document.len > INT_MAX)
		return err_set(err, ERR_REJECT, "it is more XML than can be read");
	r.parser = XML_ParserCreate_MM("UTF-8", &memory, NULL);
	if (!r.parser)
		return err_set(err, ERR_FATAL, "out of memory for XML");
	buf_init(&r.path, XML_TEXT_BYTES_MAX);
	buf_init(&r.text, XML_TEXT_BYTES_MAX);
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, begin_element, end_element);
	XML_SetCharacterDataHandler(r.parser, add_text);
	XML_SetStartDoctypeDeclHandler(r.parser, refuse_doctype);
	if (XML_Parse(r.parser, document.data, (int)document.len, XML_TRUE) != XML_STATUS_OK)
		rc = fail(&r, err);
	XML_ParserFree(r.parser);
	buf_release(&r.path);
	buf_release(&r.text);
	return rc;
}

const char *xml_library_version(void)
{
	return XML_ExpatVersion() + sizeof("expat_") - 1;
}
