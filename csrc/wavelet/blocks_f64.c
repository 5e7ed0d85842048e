/* The blocks of long signals in double: one transform of the block's length per row, no
 * interpolation between transform samples. */
#include "wavelet_impl.h"
#include <math.h>
#include <string.h>

enum { CHUNK_DOUBLES = 2 << 20 };

typedef struct {
    const ek_wavelet_bank *bank;
    const ek_wavelet_blocks *blocks;
    const double *x;
    ek_fft_plan *forward, *backward;
    size_t stride, first;
    int complex_out, power;
    double *spectra;
    unsigned char *good;
    double *out;
} blocks_job;

static ek_status spectra_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const blocks_job *j = ctx;
    const ek_wavelet_blocks *k = j->blocks;
    double *padded = ek_arena_f64(tmp, k->grid.length);
    if (padded == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const size_t block = j->first + i;
        double bad = 0.0; /* 0*x is NaN for NaN and infinity, else 0 */
        ek_wavelet_stretch_f64(j->x + block / k->blocks * k->row, k, block % k->blocks, padded);
        for (size_t s = 0; s < k->grid.length; s++) bad += 0.0 * padded[s];
        j->good[i] = bad == 0.0;
        if (j->good[i]) ek_fft_run_f64(j->forward, padded, j->spectra + i * j->stride);
    }
    return EK_OK;
}

static double size_of(const double *y, int power) {
    const double square = y[0] * y[0] + y[1] * y[1];
    return power ? square : sqrt(square);
}

static ek_status rows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const blocks_job *j = ctx;
    const ek_wavelet_blocks *k = j->blocks;
    const ek_wavelet_columns *c = k->columns;
    const size_t rows = j->bank->rows, step = k->grid.step, each = j->complex_out ? 2 : 1;
    const size_t width = c ? c->count : each * k->t;
    double *z = ek_arena_f64(tmp, 2 * k->grid.length), *y = ek_arena_f64(tmp, 2 * k->grid.length);
    if (z == NULL || y == NULL) return EK_ENOMEM;
    memset(z, 0, 2 * k->grid.length * sizeof *z);
    for (size_t item = begin; item < end; item++) {
        const size_t i = item / rows, block = (j->first + i) % k->blocks;
        const ek_wavelet_row *row = &j->bank->row[item % rows];
        double *out = j->out + ((j->first + i) / k->blocks * rows + item % rows) * width;
        const size_t now = k->t - block * step < step ? k->t - block * step : step;
        const size_t from = c ? c->edge[block] : each * block * step;
        const size_t count = c ? c->edge[block + 1] - from : each * now;
        if (!j->good[i]) {
            for (size_t o = 0; o < count; o++) out[from + o] = NAN;
            continue;
        }
        const double *in = j->spectra + i * j->stride + 2 * row->first, *w = j->bank->w64 + row->at;
        double *band = z + 2 * row->first;
        for (size_t b = 0; b < row->count; b++) {
            band[2 * b] = in[2 * b] * w[b];
            band[2 * b + 1] = in[2 * b + 1] * w[b];
        }
        ek_fft_run_f64(j->backward, z, y);
        memset(band, 0, 2 * row->count * sizeof *band);
        const double *first = y + 2 * j->bank->left;
        if (j->complex_out) {
            memcpy(out + from, first, count * sizeof *out);
            continue;
        }
        for (size_t o = from; c && o < from + count; o++) {
            const double *at = first + 2 * (c->low[o] - block * step);
            const double low = size_of(at, j->power);
            out[o] = low + c->frac[o] * (size_of(at + 2, j->power) - low);
        }
        for (size_t o = 0; !c && o < count; o++) out[from + o] = size_of(first + 2 * o, j->power);
    }
    return EK_OK;
}

ek_status ek_wavelet_blocks_f64(const double *x, const ek_wavelet_blocks *blocks,
                                const ek_wavelet_spec *spec, int complex_out, int power,
                                double *out) {
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_wavelet_bank bank;
    blocks_job j = {.bank = &bank,
                    .blocks = blocks,
                    .x = x,
                    .complex_out = complex_out,
                    .power = power,
                    .out = out};
    ek_status st = ek_wavelet_bank_block(&blocks->grid, spec, EK_FFT_F64, &bank, tmp);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, EK_FFT_F64, bank.nfft, &j.forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_BACKWARD, EK_FFT_F64, bank.nfft, &j.backward);
    const size_t total = blocks->n * blocks->blocks;
    size_t chunk = 0;
    if (st == EK_OK) {
        j.stride = (bank.nfft + 2 + 7) / 8 * 8;
        chunk = CHUNK_DOUBLES / j.stride + 1;
        if (chunk > total) chunk = total;
        j.spectra = ek_arena_f64(tmp, chunk * j.stride);
        j.good = ek_arena_alloc(tmp, chunk, 1);
        if (!j.spectra || !j.good) st = EK_ENOMEM;
    }
    for (; st == EK_OK && j.first < total; j.first += chunk) {
        const size_t now = total - j.first < chunk ? total - j.first : chunk;
        st = ek_parallel_for(now, 1, spectra_body, &j);
        if (st == EK_OK) st = ek_parallel_for(now * spec->rows, 1, rows_body, &j);
    }
    ek_fft_put(j.forward);
    ek_fft_put(j.backward);
    ek_arena_return(tmp);
    return st;
}
