/* SPDX-License-Identifier: MIT */
/*
 * Allocation that cannot fail: without memory the program says so and aborts, and its supervisor
 * starts it again. Every size that a peer can influence is bounded before it comes here.
 */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

/* Uninitialised bytes; the caller owns them (free). */
void *mem_alloc(size_t size);

/* Zeroed bytes; the caller owns them (free). */
void *mem_zalloc(size_t size);

/* Like realloc for count elements of size bytes; the product is checked for overflow. */
void *mem_grow(void *old, size_t count, size_t size);

/* A terminated copy of len bytes; the caller owns it (free). */
char *mem_strndup(const char *bytes, size_t len);

#endif
