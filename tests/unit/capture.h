/* SPDX-License-Identifier: MIT */
/* What a piece of code writes to a descriptor, as text. Nothing may fail between begin and end. */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct capture {
    int fd, saved; /* the descriptor, and a copy of what it was */
    FILE *file;    /* what it is meanwhile */
};

static inline struct capture capture_begin(int fd)
{
    (void)fflush(NULL);
    struct capture c = {fd, dup(fd), tmpfile()};
    if (c.saved < 0 || !c.file || dup2(fileno(c.file), fd) < 0)
        abort();
    return c;
}

/* Terminates the text; what does not fit into size is dropped. */
static inline void capture_end(struct capture c, char *text, size_t size)
{
    (void)fflush(NULL);
    if (dup2(c.saved, c.fd) < 0)
        abort();
    close(c.saved);
    rewind(c.file);
    text[fread(text, 1, size - 1, c.file)] = 0;
    (void)fclose(c.file);
}

#endif
