/* SPDX-License-Identifier: MIT */
/* The persister's real glue, under names that the gateway's do not have. */
#include "persister_glue.h"

#include "persister/link.c"
