/* Inner products along time as products of spectra: sum_c X_c conj(V_c) at every frequency, one
 * real matrix product for a block of records, with the complex numbers as 2x2 blocks: [ Xr  Xi ] [
 * Vr ]   [ Re ] [ Xi -Xr ] x [ Vi ] = [ Im ] A transform of length t is long enough: window s and
 * tap j meet at s + j < t. */
#include <string.h>
#include "ek_linalg.h"
#include "proto.h"

enum { RECORDS = 64, LANES = 16, PANEL = 64 };

/* --------------------------------------------------------------------- bank */
typedef struct {
    ek_proto_bank *b;
    const ek_fft_plan *plan;
} bank_run;

static ek_status bank_channels(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const bank_run *r = ctx;
    ek_proto_bank *b = r->b;
    const size_t mark = ek_arena_mark(tmp), row = 2 * b->bins;
    float *in = ek_arena_f32(tmp, b->length + 16), *line = ek_arena_f32(tmp, row + 16);
    float *all = ek_arena_f32(tmp, b->p * row);
    if (in == NULL || line == NULL || all == NULL) return EK_ENOMEM;
    for (size_t c = begin; c < end; c++) {
        for (size_t q = 0; q < b->p; q++) {
            memcpy(in, b->v + (q * b->d + c) * b->w, b->w * sizeof *in);
            memset(in + b->w, 0, (b->length - b->w) * sizeof *in);
            ek_fft_run_f32(r->plan, in, line);
            memcpy(all + q * row, line, row * sizeof *all);
        }
        for (size_t k = 0; k < b->bins; k++) {
            float *re = b->spectra + (k * 2 * b->d + c) * b->p, *im = re + b->d * b->p;
            for (size_t q = 0; q < b->p; q++) {
                re[q] = all[q * row + 2 * k];
                im[q] = all[q * row + 2 * k + 1];
            }
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status bank_spectra(ek_proto_bank *b, size_t t) {
    ek_fft_plan *plan = NULL;
    b->t = t;
    b->length = ek_fft_good_size(t);
    b->bins = b->length / 2 + 1;
    if (b->p > SIZE_MAX / (b->bins * 2 * b->d * sizeof(float))) return EK_ENOMEM;
    b->spectra = ek_aligned_alloc(b->bins * 2 * b->d * b->p * sizeof(float));
    if (b->spectra == NULL) return EK_ENOMEM;
    ek_status st = ek_fft_get(EK_FFT_R2C, EK_FFT_F32, b->length, &plan);
    if (st != EK_OK) return st;
    bank_run r = {b, plan};
    st = ek_parallel_for(b->d, 1 + 20000 / (b->p * b->length + 1), bank_channels, &r);
    ek_fft_put(plan);
    return st;
}

ek_status ek_proto_bank_new(const float *v, size_t p, size_t d, size_t w, size_t t,
                            ek_proto_bank **bank) {
    const size_t size = p * d * w;
    ek_proto_bank *b = ek_aligned_alloc(sizeof *b);
    if (b == NULL) return EK_ENOMEM;
    *b = (ek_proto_bank){.p = p, .d = d, .w = w};
    b->v = ek_aligned_alloc((size + 1) * sizeof *b->v);
    b->taps = ek_aligned_alloc((size + 1) * sizeof *b->taps);
    b->squares = ek_aligned_alloc((p + 1) * sizeof *b->squares);
    ek_status st = b->v && b->taps && b->squares ? EK_OK : EK_ENOMEM;
    if (st == EK_OK) {
        memcpy(b->v, v, size * sizeof *v);
        for (size_t q = 0; q < p; q++) {
            b->squares[q] = 0.0;
            for (size_t c = 0; c < d; c++)
                for (size_t j = 0; j < w; j++) {
                    const float y = v[(q * d + c) * w + j];
                    b->taps[(j * p + q) * d + c] = y;
                    b->squares[q] += (double)y * y;
                }
        }
        if (t > 0 && size > 0) st = bank_spectra(b, t);
    }
    if (st != EK_OK) {
        ek_proto_bank_free(b);
        b = NULL;
    }
    *bank = b;
    return st;
}

void ek_proto_bank_free(ek_proto_bank *b) {
    if (b == NULL) return;
    ek_aligned_free(b->v);
    ek_aligned_free(b->taps);
    ek_aligned_free(b->squares);
    ek_aligned_free(b->spectra);
    ek_aligned_free(b);
}

size_t ek_proto_bank_bytes(const ek_proto_bank *b) {
    return 2 * b->p * b->d * b->w * sizeof(float) + b->bins * 2 * b->d * b->p * sizeof(float);
}

size_t ek_proto_bank_dims(const ek_proto_bank *b, size_t *p, size_t *d, size_t *w) {
    *p = b->p;
    *d = b->d;
    *w = b->w;
    return b->t;
}

/* ------------------------------------------------------------------ records */
typedef struct {
    const ek_proto_finish *f;
    const ek_fft_plan *forward, *backward;
    const size_t *record;
    size_t n;     /* records of this block */
    float *left;  /* (bins, 2n, 2d) */
    float *right; /* (bins, 2n, p) */
} spectral_run;

/* Rows are (record, channel) pairs; LANES channels are transposed together, so that what is written
 * for one frequency lies side by side. */
static ek_status transform(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const spectral_run *r = ctx;
    const ek_proto_bank *b = r->f->bank;
    const size_t groups = (b->d + LANES - 1) / LANES, row = 2 * b->bins, mark = ek_arena_mark(tmp);
    float *in = ek_arena_f32(tmp, b->length + 16), *line = ek_arena_f32(tmp, row + 16);
    float *all = ek_arena_f32(tmp, LANES * row);
    if (in == NULL || line == NULL || all == NULL) return EK_ENOMEM;
    for (size_t g = begin; g < end; g++) {
        const size_t i = g / groups, c0 = g % groups * LANES;
        const size_t count = b->d - c0 < LANES ? b->d - c0 : LANES;
        for (size_t c = 0; c < count; c++) {
            memcpy(in, r->f->x + (r->record[i] * b->d + c0 + c) * b->t, b->t * sizeof *in);
            memset(in + b->t, 0, (b->length - b->t) * sizeof *in);
            ek_fft_run_f32(r->forward, in, line);
            memcpy(all + c * row, line, row * sizeof *all);
        }
        for (size_t k = 0; k < b->bins; k++) {
            float *upper = r->left + ((k * 2 * r->n) + i) * 2 * b->d + c0;
            float *lower = upper + r->n * 2 * b->d;
            for (size_t c = 0; c < count; c++) {
                const float re = all[c * row + 2 * k], im = all[c * row + 2 * k + 1];
                upper[c] = re;
                upper[b->d + c] = im;
                lower[c] = im;
                lower[b->d + c] = -re;
            }
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status multiply(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const spectral_run *r = ctx;
    const ek_proto_bank *b = r->f->bank;
    (void)tmp;
    for (size_t k = begin; k < end; k++) {
        const ek_status st =
            ek_linalg_gemm_f32(0, 2 * r->n, b->p, 2 * b->d, r->left + k * 2 * r->n * 2 * b->d,
                               2 * b->d, b->spectra + k * 2 * b->d * b->p, b->p, 0.0f,
                               r->right + k * 2 * r->n * b->p, b->p);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

static ek_status back(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const spectral_run *r = ctx;
    const ek_proto_finish *f = r->f;
    const ek_proto_bank *b = f->bank;
    const size_t panels = (b->p + PANEL - 1) / PANEL, row = 2 * b->bins, mark = ek_arena_mark(tmp);
    float *all = ek_arena_f32(tmp, PANEL * row), *line = ek_arena_f32(tmp, row + 16);
    float *dots = ek_arena_f32(tmp, b->length + 16), *top = ek_arena_f32(tmp, f->how->k + 1);
    if (all == NULL || line == NULL || dots == NULL || top == NULL) return EK_ENOMEM;
    for (size_t g = begin; g < end; g++) {
        const size_t i = g / panels, q0 = g % panels * PANEL;
        const size_t count = b->p - q0 < PANEL ? b->p - q0 : PANEL;
        for (size_t k = 0; k < b->bins; k++) {
            const float *re = r->right + (k * 2 * r->n + i) * b->p + q0, *im = re + r->n * b->p;
            for (size_t q = 0; q < count; q++) {
                all[q * row + 2 * k] = re[q];
                all[q * row + 2 * k + 1] = im[q];
            }
        }
        for (size_t q = 0; q < count; q++) {
            memcpy(line, all + q * row, row * sizeof *line);
            ek_fft_run_f32(r->backward, line, dots);
            ek_proto_finish_row(f, r->record[i], q0 + q, dots, 1.0f / (float)b->length, top);
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status block(spectral_run *r) {
    const ek_proto_bank *b = r->f->bank;
    const size_t groups = (b->d + LANES - 1) / LANES, panels = (b->p + PANEL - 1) / PANEL;
    ek_status st = ek_parallel_for(r->n * groups, 4, transform, r);
    if (st == EK_OK) st = ek_parallel_for(b->bins, 1, multiply, r);
    if (st == EK_OK) st = ek_parallel_for(r->n * panels, 1, back, r);
    return st;
}

ek_status ek_proto_by_spectra(const ek_proto_finish *f, const size_t *record, size_t n) {
    const ek_proto_bank *b = f->bank;
    ek_fft_plan *forward = NULL, *backward = NULL;
    ek_arena *own = ek_arena_borrow();
    if (own == NULL) return EK_ENOMEM;
    const size_t mark = ek_arena_mark(own), most = n < RECORDS ? n : RECORDS;
    spectral_run r = {.f = f};
    r.left = ek_arena_f32(own, b->bins * 2 * most * 2 * b->d);
    r.right = ek_arena_f32(own, b->bins * 2 * most * b->p);
    ek_status st = r.left && r.right ? EK_OK : EK_ENOMEM;
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, EK_FFT_F32, b->length, &forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_C2R, EK_FFT_F32, b->length, &backward);
    r.forward = forward;
    r.backward = backward;
    for (size_t i = 0; i < n && st == EK_OK; i += most) {
        r.record = record + i;
        r.n = n - i < most ? n - i : most;
        st = block(&r);
    }
    ek_fft_put(forward);
    ek_fft_put(backward);
    ek_arena_reset(own, mark);
    ek_arena_return(own);
    return st;
}
