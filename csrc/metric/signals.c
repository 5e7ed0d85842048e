#include "ek_metric.h"
#include <math.h>

enum { BLOCK = 16 }; /* rows of places per piece */

typedef struct {
    const void *x, *y;
    size_t t;
    int about;
    ek_metric_row_f32_fn f32;
    ek_metric_row_f64_fn f64;
    double *out;
} rows_job;

static ek_status rows_f32(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rows_job *j = ctx;
    const float *x = j->x, *y = j->y;
    (void)tmp;
    for (size_t i = begin; i < end; i++)
        j->f32(x + i * j->t, y + i * j->t, j->t, j->about, j->out + 5 * i);
    return EK_OK;
}

static ek_status rows_f64(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rows_job *j = ctx;
    const double *x = j->x, *y = j->y;
    (void)tmp;
    for (size_t i = begin; i < end; i++)
        j->f64(x + i * j->t, y + i * j->t, j->t, j->about, j->out + 5 * i);
    return EK_OK;
}

ek_status ek_metric_rows_f32(const float *x, const float *y, size_t n, size_t t, int about,
                             double *out) {
    static const struct {
        unsigned need;
        ek_metric_row_f32_fn fn;
    } ROWS[] = {
        {EK_CPU_AVX512, ek_metric_row_f32_avx512},
        {EK_CPU_AVX2,   ek_metric_row_f32_avx2  },
        {0,             ek_metric_row_f32_ref   },
    };
    if (t == 0) return n == 0 ? EK_OK : EK_ESHAPE;
    rows_job j = {x, y, t, about, EK_PICK(ROWS), NULL, out};
    return ek_parallel_for(n, 1 + 65536 / t, rows_f32, &j);
}

ek_status ek_metric_rows_f64(const double *x, const double *y, size_t n, size_t t, int about,
                             double *out) {
    static const struct {
        unsigned need;
        ek_metric_row_f64_fn fn;
    } ROWS[] = {
        {EK_CPU_AVX512, ek_metric_row_f64_avx512},
        {EK_CPU_AVX2,   ek_metric_row_f64_avx2  },
        {0,             ek_metric_row_f64_ref   },
    };
    if (t == 0) return n == 0 ? EK_OK : EK_ESHAPE;
    rows_job j = {x, y, t, about, NULL, EK_PICK(ROWS), out};
    return ek_parallel_for(n, 1 + 65536 / t, rows_f64, &j);
}

typedef double (*ssim_row_fn)(const ek_metric_ssim *s, const double *x, const double *y,
                              double *tmp);
typedef struct {
    const ek_metric_ssim *s;
    const double *x, *y;
    size_t places, blocks; /* rows of places in an image, pieces of them */
    ssim_row_fn row;
    double *part;
} ssim_job;

static ek_status ssim_blocks(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const ssim_job *j = ctx;
    const size_t mark = ek_arena_mark(tmp), w = j->s->w;
    double *scratch = ek_arena_f64(tmp, 5 * (w + EK_METRIC_SSIM_PAD));
    if (scratch == NULL) return EK_ENOMEM;
    for (size_t piece = begin; piece < end; piece++) {
        const size_t image = piece / j->blocks, first = piece % j->blocks * BLOCK;
        const size_t last = first + BLOCK < j->places ? first + BLOCK : j->places;
        double total = 0.0;
        for (size_t i = first; i < last; i++) {
            const size_t at = (image * j->s->h + i) * w;
            total += j->row(j->s, j->x + at, j->y + at, scratch);
        }
        j->part[piece] = total;
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_metric_ssim_f64(const ek_metric_ssim *s, const double *x, const double *y, size_t n,
                             double *out) {
    static const struct {
        unsigned need;
        ssim_row_fn fn;
    } SSIM[] = {
        {EK_CPU_AVX512, ek_metric_ssim_row_avx512},
        {EK_CPU_AVX2,   ek_metric_ssim_row_avx2  },
        {0,             ek_metric_ssim_row_ref   },
    };
    if (s->taps == 0 || s->h < s->taps || s->w < s->taps) return EK_ESHAPE;
    const size_t places = s->h - s->taps + 1, blocks = (places + BLOCK - 1) / BLOCK;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ssim_job j = {s, x, y, places, blocks, EK_PICK(SSIM), ek_arena_f64(tmp, n * blocks + 1)};
    const ek_status st = j.part ? ek_parallel_for(n * blocks, 1, ssim_blocks, &j) : EK_ENOMEM;
    for (size_t i = 0; i < n && st == EK_OK; i++) {
        double total = 0.0;
        for (size_t b = 0; b < blocks; b++) total += j.part[i * blocks + b];
        out[i] = total / ((double)places * (double)(s->w - s->taps + 1));
    }
    ek_arena_return(tmp);
    return st;
}
