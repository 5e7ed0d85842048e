/* The header parser on any bytes: it ends, stays inside the text, and says why it refuses. */
#include "ek_io.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void inside(ek_text t, size_t size) {
    if (t.at > size || t.len > size - t.at) abort();
}

static void check_signal(const uint8_t *data, const ek_wfdb_signal *s, size_t size) {
    inside(s->file, size);
    inside(s->unit, size);
    inside(s->name, size);
    if (s->file.len == 0 || memchr(data + s->file.at, '/', s->file.len) != NULL) abort();
    if (!isfinite(s->gain) || s->gain == 0 || s->per_frame < 1 || s->skew < 0 || s->offset < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ek_arena *tmp = ek_arena_new();
    ek_wfdb_header h;
    ek_wfdb_error e;
    if (tmp == NULL) return 0;
    const ek_status st = ek_wfdb_parse(data, size, tmp, &h, &e);
    if (st == EK_EFORMAT) {
        if (e.field == NULL || e.wanted == NULL) abort();
        inside(e.got, size);
    } else if (st == EK_OK) {
        inside(h.name, size);
        inside(h.start, size);
        if (!(h.fs > 0 && h.fs <= 1e6)) abort();
        for (size_t i = 0; h.segments == 0 && i < h.signals; i++)
            check_signal(data, &h.signal[i], size);
        for (size_t i = 0; i < h.segments; i++) inside(h.segment[i].name, size);
        for (size_t i = 0; i < h.comments; i++) inside(h.comment[i], size);
    }
    if (ek_arena_bytes(tmp) > 16 * size + (2u << 20))
        abort(); /* no more memory than the text backs */
    ek_arena_free(tmp);
    return 0;
}
