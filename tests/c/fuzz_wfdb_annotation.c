/* The annotation decoder on any bytes: counting and filling agree, texts lie inside the file. */
#include "ek_io.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t count = 0, again = 0, at = 0;
    uint8_t *copy = malloc(size + 1); /* no byte behind the last one may be read */
    if (copy == NULL) return 0;
    if (size) memcpy(copy, data, size);
    copy = realloc(copy, size ? size : 1);
    const ek_status st = ek_wfdb_annotations(copy, size, NULL, &count, &at);
    if (at > size) abort();
    if (st == EK_OK) {
        if (count * 2 > size) abort();
        ek_wfdb_annotation *all = malloc((count + 1) * sizeof *all);
        if (all == NULL) abort();
        if (ek_wfdb_annotations(copy, size, all, &again, &at) != EK_OK || again != count) abort();
        for (size_t i = 0; i < count; i++)
            if (all[i].aux.at > size || all[i].aux.len > size - all[i].aux.at) abort();
        free(all);
    }
    free(copy);
    return 0;
}
