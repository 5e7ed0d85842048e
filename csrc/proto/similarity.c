#include <math.h>
#include <string.h>
#include "ek_linalg.h"
#include "proto.h"

enum { SPECTRAL_FROM = 8 }; /* records: below, reading the spectra costs more than they save */
static const double NEAR = 1.0 / 256.0; /* squared distance over squared norms */

/* ------------------------------------------------------------------ squares */
typedef struct {
    const float *x;
    size_t d, t, w;
    double *squares;
    unsigned char *finite;
} squares_run;

static ek_status squares_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const squares_run *r = ctx;
    const size_t windows = r->t - r->w + 1, mark = ek_arena_mark(tmp);
    double *column = ek_arena_f64(tmp, r->t);
    if (column == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const float *x = r->x + i * r->d * r->t;
        double *to = r->squares + i * windows, total = 0.0;
        memset(column, 0, r->t * sizeof *column);
        for (size_t c = 0; c < r->d; c++)
            for (size_t s = 0; s < r->t; s++)
                column[s] += (double)x[c * r->t + s] * x[c * r->t + s];
        for (size_t s = 0; s < windows; s++) {
            to[s] = 0.0;
            for (size_t j = 0; j < r->w; j++) to[s] += column[s + j];
            total += to[s];
        }
        r->finite[i] = isfinite(total) != 0;
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_proto_squares(const float *x, size_t n, size_t d, size_t t, size_t w, double *squares,
                           unsigned char *finite) {
    squares_run r = {x, d, t, w, squares, finite};
    return ek_parallel_for(n, 1 + 100000 / (d * t + 1), squares_rows, &r);
}

/* ------------------------------------------------------------------- finish */
/* |x - v|^2 from the differences. */
static double distance2(const ek_proto_finish *f, size_t i, size_t q, size_t s) {
    const ek_proto_bank *b = f->bank;
    const float *x = f->x + i * b->d * f->t + s, *v = b->v + q * b->d * b->w;
    double sum = 0.0;
    for (size_t c = 0; c < b->d; c++, x += f->t, v += b->w)
        for (size_t j = 0; j < b->w; j++) {
            const double e = (double)x[j] - v[j];
            sum += e * e;
        }
    return sum;
}

static void similarities(const ek_proto_finish *f, size_t i, size_t q, float *y, float scale) {
    const double *xx = f->squares + i * f->windows, vv = f->bank->squares[q];
    if (f->how->metric == EK_PROTO_COSINE) {
        const double *inverse = f->inverse + i * f->windows;
        const double factor = (double)scale * ek_proto_inverse(vv + f->how->eps);
        for (size_t s = 0; s < f->windows; s++) y[s] = (float)((double)y[s] * inverse[s] * factor);
        return;
    }
    for (size_t s = 0; s < f->windows; s++) {
        double d2 = xx[s] + vv - 2.0 * (double)(y[s] * scale);
        if (d2 < NEAR * (xx[s] + vv)) d2 = distance2(f, i, q, s);
        const double d = sqrt(d2);
        y[s] = f->how->metric == EK_PROTO_L2 ? (float)-d : (float)log((d + 1.0) / (d + 1e-4));
    }
}

/* Mean of the k largest, found by insertion: k is small. */
static float mean_of_top(const float *y, size_t n, size_t k, float *top) {
    if (k > n) k = n;
    size_t have = 0;
    for (size_t s = 0; s < n; s++) {
        if (isnan(y[s])) return NAN;
        if (have == k && y[s] <= top[k - 1]) continue;
        size_t at = have < k ? have++ : k - 1;
        while (at > 0 && top[at - 1] < y[s]) {
            top[at] = top[at - 1];
            at--;
        }
        top[at] = y[s];
    }
    double sum = 0.0;
    for (size_t s = 0; s < k; s++) sum += (double)top[s];
    return (float)(sum / (double)k);
}

void ek_proto_finish_row(const ek_proto_finish *f, size_t i, size_t q, float *y, float scale,
                         float *top) {
    similarities(f, i, q, y, scale);
    const size_t at = i * f->bank->p + q, n = f->windows;
    if (f->how->pool == EK_PROTO_ALL) {
        memcpy(f->out + at * n, y, n * sizeof *y);
        return;
    }
    size_t best = 0;
    for (size_t s = 1; s < n && !isnan(y[best]); s++)
        if (y[s] > y[best] || isnan(y[s])) best = s;
    if (f->best != NULL) f->best[at] = (int64_t)best;
    if (f->how->pool == EK_PROTO_MAX) {
        f->out[at] = y[best];
    } else if (f->how->pool == EK_PROTO_MEAN) {
        double sum = 0.0;
        for (size_t s = 0; s < n; s++) sum += (double)y[s];
        f->out[at] = (float)(sum / (double)n);
    } else {
        f->out[at] = mean_of_top(y, n, f->how->k, top);
    }
}

/* ------------------------------------------------------------------- direct */
typedef struct {
    const ek_proto_finish *f;
    const size_t *record;
    size_t blocks; /* of prototypes */
} direct_run;

static ek_status direct_pieces(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const direct_run *r = ctx;
    const ek_proto_finish *f = r->f;
    const ek_proto_bank *b = f->bank;
    const size_t mark = ek_arena_mark(tmp);
    float *dots = ek_arena_f32(tmp, EK_PROTO_BLOCK * f->windows);
    float *top = ek_arena_f32(tmp, f->how->k + 1);
    if (dots == NULL || top == NULL) return EK_ENOMEM;
    for (size_t piece = begin; piece < end; piece++) {
        const size_t i = r->record[piece / r->blocks];
        const size_t q0 = piece % r->blocks * EK_PROTO_BLOCK;
        const size_t count = b->p - q0 < EK_PROTO_BLOCK ? b->p - q0 : EK_PROTO_BLOCK;
        for (size_t j = 0; j < b->w; j++) {
            const ek_status st =
                ek_linalg_gemm_f32(0, count, f->windows, b->d, b->taps + (j * b->p + q0) * b->d,
                                   b->d, f->x + i * b->d * f->t + j, f->t, j ? 1.0f : 0.0f, dots,
                                   f->windows);
            if (st != EK_OK) return st;
        }
        for (size_t q = 0; q < count; q++)
            ek_proto_finish_row(f, i, q0 + q, dots + q * f->windows, 1.0f, top);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status by_products(const ek_proto_finish *f, const size_t *record, size_t n) {
    direct_run r = {f, record, (f->bank->p + EK_PROTO_BLOCK - 1) / EK_PROTO_BLOCK};
    return ek_parallel_for(n * r.blocks, 1, direct_pieces, &r);
}

/* One vector per record and prototype: a single product. */
typedef struct {
    const ek_proto_finish *f;
} vectors_run;

static ek_status vectors_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const ek_proto_finish *f = ((const vectors_run *)ctx)->f;
    const ek_proto_bank *b = f->bank;
    const size_t mark = ek_arena_mark(tmp), count = end - begin, size = b->d * b->w;
    float *dots = ek_arena_f32(tmp, count * b->p), *top = ek_arena_f32(tmp, f->how->k + 1);
    if (dots == NULL || top == NULL) return EK_ENOMEM;
    const ek_status st = ek_linalg_gemm_f32(1, count, b->p, size, f->x + begin * size, size, b->v,
                                            size, 0.0f, dots, b->p);
    if (st != EK_OK) return st;
    for (size_t i = 0; i < count; i++)
        for (size_t q = 0; q < b->p; q++)
            ek_proto_finish_row(f, begin + i, q, dots + i * b->p + q, 1.0f, top);
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

/* --------------------------------------------------------------------- call */
static ek_status run(ek_proto_finish *f, size_t n, ek_arena *own) {
    const ek_proto_bank *b = f->bank;
    double *squares = ek_arena_f64(own, n * f->windows);
    unsigned char *finite = ek_arena_alloc(own, n, 1);
    size_t *record = ek_arena_alloc(own, n, sizeof *record);
    if (squares == NULL || finite == NULL || record == NULL) return EK_ENOMEM;
    ek_status st = ek_proto_squares(f->x, n, b->d, f->t, b->w, squares, finite);
    if (st != EK_OK) return st;
    f->squares = squares;
    f->inverse = squares;
    if (f->how->metric == EK_PROTO_COSINE)
        for (size_t s = 0; s < n * f->windows; s++)
            squares[s] = ek_proto_inverse(squares[s] + f->how->eps);
    if (f->windows == 1) {
        vectors_run r = {f};
        return ek_parallel_for(n, 1 + 4000000 / (b->d * b->w * b->p + 1), vectors_rows, &r);
    }
    /* A transform would spread a NaN over the whole record. */
    size_t spectral = 0, direct = 0;
    if (b->spectra != NULL && b->t == f->t && !f->how->direct && n >= SPECTRAL_FROM)
        for (size_t i = 0; i < n; i++)
            if (finite[i]) record[spectral++] = i;
    if (spectral > 0 && (st = ek_proto_by_spectra(f, record, spectral)) != EK_OK) return st;
    for (size_t i = 0; i < n; i++)
        if (spectral == 0 || !finite[i]) record[direct++] = i;
    return by_products(f, record, direct);
}

ek_status ek_proto_similarity(const ek_proto_bank *bank, const float *x, size_t n, size_t t,
                              const ek_proto_how *how, float *out, int64_t *best) {
    if (bank->w > t || (how->pool == EK_PROTO_TOPK && how->k == 0)) return EK_ESHAPE;
    if (n == 0 || bank->p == 0) return EK_OK;
    ek_proto_finish f = {.bank = bank,
                         .x = x,
                         .t = t,
                         .windows = t - bank->w + 1,
                         .how = how,
                         .out = out,
                         .best = best};
    ek_arena *own = ek_arena_borrow();
    if (own == NULL) return EK_ENOMEM;
    const size_t mark = ek_arena_mark(own);
    ek_linalg_single();
    const ek_status st = run(&f, n, own);
    ek_arena_reset(own, mark);
    ek_arena_return(own);
    return st;
}
