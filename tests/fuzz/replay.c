/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over files and the files in folders, without libFuzzer, so that any compiler
 * can. A mistake aborts; else the last line is `N inputs`. Exits with 1 when there was none.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static bool replay_file(const char *path, off_t size)
{
    FILE *file = fopen(path, "rb");
    size_t len = (size_t)size;
    uint8_t *bytes = mem_alloc(len ? len : 1);
    bool read = file && fread(bytes, 1, len, file) == len;
    if (read)
        LLVMFuzzerTestOneInput(bytes, len);
    else
        perror(path);
    if (file)
        (void)fclose(file);
    free(bytes);
    return read;
}

/* Counts into *inputs; false: something could not be read. */
static bool replay(const char *path, unsigned *inputs)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        ++*inputs;
        return replay_file(path, info.st_size);
    }
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    bool read = count >= 0;
    for (int i = 0; i < count; i++) {
        struct buf *inner = NULL;
        buf_printf(&inner, "%s/%s%c", path, names[i]->d_name, 0);
        if (names[i]->d_name[0] != '.')
            read = replay(buf_str(inner).p, inputs) && read;
        buf_free(&inner);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return read;
}

int main(int argc, char **argv)
{
    unsigned inputs = 0;
    bool read = true;
    for (int i = 1; i < argc; i++)
        read = replay(argv[i], &inputs) && read;
    printf("%u inputs\n", inputs);
    return read && inputs ? EXIT_SUCCESS : EXIT_FAILURE;
}
