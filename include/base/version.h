#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/* version: of flytrail itself. */

#define FLYTRAIL_VERSION "0.1.0"

#endif
