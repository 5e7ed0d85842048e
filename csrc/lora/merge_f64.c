#include "ek_lora.h"

typedef struct {
    const double *w, *a, *b;
    double *out;
    size_t n, r;
    double scale;
} f64_run;

static ek_status rows_f64(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const f64_run *p = ctx;
    const size_t mark = ek_arena_mark(tmp);
    double *sum = ek_arena_f64(tmp, p->n);
    if (sum == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const double *w_i = p->w + i * p->n, *b_i = p->b + i * p->r;
        double *out_i = p->out + i * p->n;
        for (size_t j = 0; j < p->n; j++) sum[j] = 0.0;
        for (size_t c = 0; c < p->r; c++)
            for (size_t j = 0; j < p->n; j++) sum[j] += b_i[c] * p->a[c * p->n + j];
        for (size_t j = 0; j < p->n; j++) out_i[j] = w_i[j] + p->scale * sum[j];
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_lora_merge_f64(const double *w, const double *a, const double *b, size_t m, size_t n,
                            size_t r, double scale, double *out) {
    f64_run run = {w, a, b, out, n, r, scale};
    if (n == 0) return EK_OK;
    return ek_parallel_for(m, 1 + (1 << 22) / (n * (r + 1)), rows_f64, &run);
}
