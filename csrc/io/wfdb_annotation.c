/* WFDB annotations in MIT format: 16-bit words, six bits of code and ten of time (annot(5) of the
 * WFDB guide). */
#include "ek_io.h"

enum { SKIP = 59, NUM = 60, SUB = 61, CHN = 62, AUX = 63 };

static unsigned word(const uint8_t *p) {
    return p[0] | (unsigned)p[1] << 8;
}

static int32_t skip_interval(const uint8_t *p) { /* PDP-11 order: the high half first */
    return (int32_t)((uint32_t)word(p) << 16 | word(p + 2));
}

ek_status ek_wfdb_annotations(const uint8_t *p, size_t bytes, ek_wfdb_annotation *out,
                              size_t *count, size_t *at) {
    int64_t time = 0;
    ek_wfdb_annotation now = {0};
    size_t i = 0, n = 0;
    int open = 0; /* an annotation was begun; modifiers that follow belong to it */
    for (;;) {
        *at = i;
        if (bytes - i < 2) return EK_EFORMAT; /* the zero word that ends the list is missing */
        const unsigned w = word(p + i), code = w >> 10, value = w & 1023;
        i += 2;
        if (code >= NUM && !open) return EK_EFORMAT; /* a modifier of nothing */
        switch (code) {
        case SKIP:
            if (bytes - i < 4) return EK_EFORMAT;
            time += skip_interval(p + i);
            i += 4;
            continue;
        case NUM: now.number = (int8_t)value; continue;
        case SUB: now.subtype = (int8_t)value; continue;
        case CHN: now.channel = (uint8_t)value; continue;
        case AUX:
            if (bytes - i < value + value % 2) return EK_EFORMAT;
            now.aux = (ek_text){i, value};
            i += value + value % 2;
            continue;
        default: break;
        }
        if (open) {
            if (out != NULL) out[n] = now;
            n++;
        }
        if (w == 0) break;
        time += value;
        now = (ek_wfdb_annotation){.sample = time,
                                   .code = (uint8_t)code,
                                   .number = now.number,
                                   .channel = now.channel};
        open = 1;
    }
    *count = n;
    return EK_OK;
}
