#include "ek_linalg.h"
#include "ek_metric.h"

enum { ROWS = 512, TILE = 128 };

typedef struct {
    const double *b; /* centred rows */
    double *cov;
    size_t rows, d;
    double scale, keep;
} gram_job;

/* cov rows of a tile, from its diagonal on: b^T b, upper triangle. */
static ek_status gram_tiles(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const gram_job *g = ctx;
    (void)tmp;
    for (size_t t = begin; t < end; t++) {
        const size_t at = t * TILE, width = g->d - at < TILE ? g->d - at : TILE;
        const ek_status st =
            ek_linalg_gemm_f64(1, 0, width, g->d - at, g->rows, g->scale, g->b + at, g->d,
                               g->b + at, g->d, g->keep, g->cov + at * g->d + at, g->d);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

#define FLOAT   float
#define NAME(x) x##_f32
#include "moments_impl.h"
#undef FLOAT
#undef NAME

#define FLOAT   double
#define NAME(x) x##_f64
#include "moments_impl.h"

typedef struct {
    const double *x, *y;
    size_t n, m, d;
    int same;
    double gamma, coef, *part;
} cubic_job;

static ek_status cubic_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const cubic_job *j = ctx;
    const size_t mark = ek_arena_mark(tmp);
    double *g = ek_arena_f64(tmp, TILE * TILE), total = 0.0;
    if (g == NULL) return EK_ENOMEM;
    for (size_t at = 0; at < j->m; at += TILE) {
        const size_t rows = end - begin, width = j->m - at < TILE ? j->m - at : TILE;
        const ek_status st =
            ek_linalg_gemm_f64(0, 1, rows, width, j->d, j->gamma, j->x + begin * j->d, j->d,
                               j->y + at * j->d, j->d, 0.0, g, TILE);
        if (st != EK_OK) return st;
        for (size_t i = 0; i < rows; i++) {
            double sum = 0.0;
            for (size_t k = 0; k < width; k++) {
                const double v = g[i * TILE + k] + j->coef;
                sum += v * v * v;
            }
            if (j->same && begin + i >= at && begin + i < at + width) {
                const double v = g[i * TILE + (begin + i - at)] + j->coef;
                sum -= v * v * v;
            }
            total += sum;
        }
    }
    j->part[begin / TILE] = total;
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_metric_cubic_sum(const double *x, size_t n, const double *y, size_t m, size_t d,
                              int same, double gamma, double coef, double *out) {
    const size_t pieces = (n + TILE - 1) / TILE;
    ek_linalg_single();
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    cubic_job j = {x, y, n, m, d, same, gamma, coef, ek_arena_f64(tmp, pieces + 1)};
    ek_status st = j.part ? ek_parallel_for(n, TILE, cubic_rows, &j) : EK_ENOMEM;
    *out = 0.0;
    for (size_t k = 0; k < pieces && st == EK_OK; k++) *out += j.part[k];
    ek_arena_return(tmp);
    return st;
}
