/* A fuzz target without a fuzzer: feeds it every file named as an argument, and every file of each
 * folder named, so that a corpus also runs as an ordinary test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data;
    size_t n;

    if (file == NULL || size > FILE_BYTES_MAX) {
        fprintf(stderr, "%s cannot be read\n", path);
        if (file != NULL)
            fclose(file);
        return 1;
    }
    data = malloc(size ? size : 1);
    if (data == NULL)
        abort();
    n = fread(data, 1, size, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    replayed++;
    return 0;
}

static int replay(const char *path)
{
    struct stat st;
    struct dirent *entry;
    DIR *dir;
    int failed = 0;

    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size);
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        char inner[4096];

        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < (int)sizeof inner)
            failed |= replay(inner);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%zu inputs replayed\n", replayed);
    return failed || replayed == 0;
}
