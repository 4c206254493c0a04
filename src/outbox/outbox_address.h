/*-------------------------------------------------------------------------
 *
 * outbox_address.h
 *		Mail addresses: which are fit to be written to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_OUTBOX_ADDRESS_H
#define EC_OUTBOX_ADDRESS_H

#include "compat/compat.h"

/*
 * These return NULL if all is well, else what is wrong as the detail of an
 * error message: a whole sentence, allocated in the current context.  Text is
 * in the encoding of the database.
 */

/* One address, local@domain. */
extern char *ec_address_problem(const char *address);

/* An address alone, "<address>" or "Name <address>". */
extern char *ec_mailbox_problem(const char *mailbox);

/*
 * The same, taken apart: *name is NULL if there is none, else without the
 * quotes it may have had.  Both are allocated in the current context, and
 * undefined if there is a problem.
 */
extern char *ec_mailbox_parse(const char *mailbox, char **name, char **address);

#endif							/* EC_OUTBOX_ADDRESS_H */
