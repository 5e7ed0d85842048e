/* Runs a fuzz target over the files of a folder, each also cut short at every length up to 512 and
 * with every bit of its first 64 bytes turned: what must not crash is the neighbourhood of a file,
 * not the file alone. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const uint8_t *bytes, size_t size) {
    LLVMFuzzerTestOneInput(bytes, size);
    for (size_t cut = 0; cut < size && cut < 512; cut++) {
        uint8_t *copy =
            malloc(cut ? cut : 1); /* exact size: the sanitizer sees a read past the cut */
        if (copy == NULL) abort();
        memcpy(copy, bytes, cut);
        LLVMFuzzerTestOneInput(copy, cut);
        free(copy);
    }
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL) abort();
    memcpy(copy, bytes, size);
    for (size_t bit = 0; bit < 8 * size && bit < 512; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        LLVMFuzzerTestOneInput(copy, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
}

int main(int argc, char **argv) {
    size_t files = 0;
    DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
    replay((const uint8_t *)"", 0);
    for (struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
        char path[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        FILE *f = fopen(path, "rb");
        if (f == NULL) return perror(path), 1;
        fseek(f, 0, SEEK_END);
        const long size = ftell(f);
        rewind(f);
        uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
        if (bytes == NULL || size < 0 || fread(bytes, 1, (size_t)size, f) != (size_t)size)
            return perror(path), 1;
        fclose(f);
        replay(bytes, (size_t)size);
        free(bytes);
        files++;
    }
    if (folder != NULL) closedir(folder);
    printf("replayed %zu files\n", files);
    return 0;
}
