#ifndef STAGE_PEM_H
#define STAGE_PEM_H

/*
 * pem: follows private keys over the lines that programs print them in.
 *
 * A block begins with a line that holds -----BEGIN ... and no -----END behind
 * it. The machine's next lines belong to it up to the END, or up to a line
 * that can be neither base64 nor a PEM header. Blocks that hold no private key
 * (certificates, public keys) are followed too, only to be left alone.
 *
 * A line that names no machine may be a further line of any machine's message,
 * as `fly logs` prints them: with a private key open, its base64 is taken out.
 *
 * A block whose beginning was in an earlier batch is not known. Therefore a
 * line of nothing but 64, 70 or 76 base64 characters (what openssl, ssh-keygen
 * and MIME print) is taken for a piece of a private key wherever no public
 * block is open. What stays visible then is a last, shorter line at the very
 * beginning of a batch, or a full one with a byte in it that is no character.
 *
 * Threads: one owner at a time.
 * Limits:  PEM_BLOCKS_MAX open blocks; past them every line of base64 is taken
 *          for a piece of a key, until pem_forget().
 */

#include "base/span.h"
#include "base/util.h"

enum { PEM_BLOCKS_MAX = 64, PEM_NO_MACHINE = 0 };

struct pem_block {
	uint64_t machine;
	bool secret;
};

struct pem {
	struct pem_block blocks[PEM_BLOCKS_MAX];
	size_t count;
	bool overflown;
};

void pem_forget(struct pem *p);

/* The number that stands for a machine. Two that share one only redact more. */
uint64_t pem_machine(struct span app, struct span machine_id);

/* Whether pem_continue() has to be asked about the line; cheap. */
bool pem_concerns(const struct pem *p, struct span line);

/* How many bytes at the head of the line belong to a private key that began in an earlier one. */
size_t pem_continue(struct pem *p, uint64_t machine, struct span line);

/* Told of a line that holds "-----BEGIN". */
void pem_begin(struct pem *p, uint64_t machine, struct span line);

#endif
