#include "cmd/cmd.h"

#include "base/gzip.h"
#include "base/hash.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/version.h"
#include "base/xml.h"
#include "serve/http.h"
#include "source/nats.h"
#include "stage/search.h"
#include "store/inspect.h"
#include "store/migrate.h"

int cmd_version(int argc, char **argv)
{
	int libpq = store_library_version();

	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	(void)printf("flytrail %s\n", FLYTRAIL_VERSION);
	(void)printf("schema %d\n", migrate_newest());
	(void)printf("nats.c %s\n", nats_library_version());
	(void)printf("libpq %d.%d\n", libpq / 10000, libpq % 10000);
	(void)printf("libcurl %s\n", http_client_library_version());
	(void)printf("libcrypto %s\n", hash_library_version());
	(void)printf("cJSON %s\n", json_library_version());
	(void)printf("PCRE2 %s\n", searcher_library_version());
	(void)printf("zlib %s\n", gzip_reader_library_version());
	(void)printf("ISA-L %s\n", gzip_writer_library_version());
	(void)printf("libexpat %s\n", xml_library_version());
	(void)printf("libmicrohttpd %s\n", http_library_version());
	return CMD_OK;
}
