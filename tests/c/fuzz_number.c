/* Decimal text against strtod: the same double, or refused because it over- or underflows. */
#include "ek_io.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[80];
    double v = 0;
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL) return 0;
    if (size) memcpy(copy, data, size);
    const size_t used = ek_io_number(copy, size, &v);
    if (used > size || used >= sizeof text) abort();
    if (used) {
        memcpy(text, copy, used);
        text[used] = 0;
        char *end;
        const double want = strtod(text, &end);
        if (end != text + used || want != v || !isfinite(v)) abort();
    }
    free(copy);
    return 0;
}
