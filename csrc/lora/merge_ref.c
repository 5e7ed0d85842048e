/* The formula as it stands. Reads 16-bit types by their definition, element by element. */
#include "lora_kern.h"

enum { ROWS = 4, COLUMNS = 8 };

static void delta(const float *a, const float *b, size_t k, float scale, int add, float *d) {
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLUMNS; j++) {
            float sum = 0.0f;
            for (size_t c = 0; c < k; c++) sum += b[c * ROWS + i] * a[c * COLUMNS + j];
            d[i * COLUMNS + j] = scale * sum + (add ? d[i * COLUMNS + j] : 0.0f);
        }
}

static void finish(const ek_lora_finish *f) {
    const size_t w_row = f->ld * EK_LORA_BYTES[f->w_type];
    const size_t out_row = f->ld * EK_LORA_BYTES[f->out_type];
    const float largest = EK_LORA_LARGEST[f->out_type];
    for (size_t i = 0; i < f->rows; i++) {
        const char *w_i = f->w + i * w_row;
        char *out_i = f->out + i * out_row;
        for (size_t j = 0; j < f->columns; j++) {
            const float w = ek_lora_get(w_i, f->w_type, j);
            float d = f->d[i * f->ldd + j];
            if (f->round_delta) d = ek_lora_rounded(d, f->w_type);
            float y = w + d;
            if (f->row_gain != NULL) y *= f->row_gain[i];
            if (f->col_gain != NULL) y *= f->col_gain[j];
            if (f->row_gain != NULL || f->col_gain != NULL) d = y - w;
            int clamped = 0;
            if (f->clamp && fabsf(y) > largest && fabsf(y) <= EK_LORA_LARGEST[EK_LORA_F32]) {
                y = copysignf(largest, y);
                clamped = 1;
            }
            y = ek_lora_put(out_i, f->out_type, j, y);
            if (f->stats == NULL) continue;
            const float e = (y - w) - d;
            f->stats->delta2 += (double)d * d;
            f->stats->weight2 += (double)w * w;
            f->stats->error2 += (double)e * e;
            f->stats->unchanged += y == w;
            f->stats->broken += isfinite(w) && !isfinite(y);
            f->stats->clamped += (uint64_t)clamped;
        }
    }
}

const ek_lora_isa ek_lora_isa_ref = {.rows = ROWS,
                                     .columns = COLUMNS,
                                     .delta = delta,
                                     .finish = finish};
