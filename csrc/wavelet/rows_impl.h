/* rows_impl.h: cwt and scalogram, written once for both precisions. The including file defines
 *   REAL        float or double          FFT_TYPE   EK_FFT_F32 or EK_FFT_F64
 *   NAME(x)     x with the suffix        WEIGHTS    the bank's member      FRAC  the resize table's
 * member RUN         ek_fft_run_f32 or _f64   ROOT       sqrtf or sqrt */
#include "wavelet_impl.h"
#include <math.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 20 }; /* spectra kept at a time */

typedef struct {
    const REAL *x;
    const ek_wavelet_bank *bank;
    const ek_wavelet_resize *resize; /* NULL: every sample */
    ek_fft_plan *forward, *backward;
    REAL *spectra; /* (signals of the chunk, stride) */
    unsigned char *bad;
    size_t stride, width;
    int complex_out, power;
    REAL *out;
} rows_job;

static int finite_row(const REAL *x, size_t t) {
    REAL sum = 0; /* 0*x is NaN for NaN and infinity, else 0 */
    for (size_t i = 0; i < t; i++) sum += 0 * x[i];
    return sum == 0;
}

static ek_status spectra_of(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rows_job *j = ctx;
    REAL *padded = ek_arena_alloc(tmp, j->bank->nfft, sizeof *padded);
    if (padded == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const REAL *xi = j->x + i * j->bank->t;
        j->bad[i] = !finite_row(xi, j->bank->t);
        if (j->bad[i]) continue;
        NAME(ek_wavelet_pad)(xi, j->bank, padded);
        RUN(j->forward, padded, j->spectra + i * j->stride);
    }
    return EK_OK;
}

static void magnitude(const REAL *y, size_t n, int power, REAL *m) {
    if (power)
        for (size_t i = 0; i < n; i++) m[i] = y[2 * i] * y[2 * i] + y[2 * i + 1] * y[2 * i + 1];
    else
        for (size_t i = 0; i < n; i++)
            m[i] = ROOT(y[2 * i] * y[2 * i] + y[2 * i + 1] * y[2 * i + 1]);
}

static void resized(const REAL *m, const ek_wavelet_resize *r, REAL *out) {
    for (size_t c = 0; c < r->width; c++) {
        const REAL low = m[r->low[c]];
        out[c] = low + r->FRAC[c] * (m[r->high[c]] - low);
    }
}

static ek_status transform_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rows_job *j = ctx;
    const ek_wavelet_bank *bank = j->bank;
    const size_t t = bank->t, nfft = bank->nfft;
    REAL *z = ek_arena_alloc(tmp, 2 * nfft, sizeof *z);
    REAL *y = ek_arena_alloc(tmp, 2 * nfft, sizeof *y);
    REAL *m = ek_arena_alloc(tmp, t, sizeof *m);
    if (z == NULL || y == NULL || m == NULL) return EK_ENOMEM;
    memset(z, 0, 2 * nfft * sizeof *z);
    const size_t row_len = j->complex_out ? 2 * t : j->width;
    for (size_t item = begin; item < end; item++) {
        const size_t signal = item / bank->rows;
        const ek_wavelet_row *row = &bank->row[item % bank->rows];
        REAL *out = j->out + item * row_len;
        if (j->bad[signal]) {
            for (size_t i = 0; i < row_len; i++) out[i] = (REAL)NAN;
            continue;
        }
        const REAL *spectrum = j->spectra + signal * j->stride + 2 * row->first;
        const REAL *w = bank->WEIGHTS + row->at;
        REAL *band = z + 2 * row->first;
        for (size_t i = 0; i < row->count; i++) {
            band[2 * i] = spectrum[2 * i] * w[i];
            band[2 * i + 1] = spectrum[2 * i + 1] * w[i];
        }
        RUN(j->backward, z, y);
        memset(band, 0, 2 * row->count * sizeof *band);
        if (j->complex_out) {
            memcpy(out, y + 2 * bank->left, row_len * sizeof *out);
        } else if (j->resize == NULL) {
            magnitude(y + 2 * bank->left, t, j->power, out);
        } else {
            magnitude(y + 2 * bank->left, t, j->power, m);
            resized(m, j->resize, out);
        }
    }
    return EK_OK;
}

static ek_status transform_all(rows_job *j, size_t n, ek_arena *tmp) {
    const ek_wavelet_bank *bank = j->bank;
    j->stride = (2 * (bank->nfft / 2 + 1) + 15) / 16 * 16; /* 64-byte rows */
    size_t chunk = (size_t)CHUNK_BYTES / (j->stride * sizeof *j->spectra) + 1;
    if (chunk > n) chunk = n;
    j->spectra = ek_arena_alloc(tmp, chunk * j->stride, sizeof *j->spectra);
    j->bad = ek_arena_alloc(tmp, chunk, 1);
    if (j->spectra == NULL || j->bad == NULL) return EK_ENOMEM;
    const size_t grain = 1 + 65536 / bank->nfft;
    const size_t row_len = j->complex_out ? 2 * bank->t : j->width;
    for (size_t at = 0; at < n; at += chunk) {
        const size_t now = n - at < chunk ? n - at : chunk;
        ek_status st = ek_parallel_for(now, grain, spectra_of, j);
        if (st == EK_OK) st = ek_parallel_for(now * bank->rows, grain, transform_rows, j);
        if (st != EK_OK) return st;
        j->x += now * bank->t;
        j->out += now * bank->rows * row_len;
    }
    return EK_OK;
}

static ek_status transform(const REAL *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                           size_t width, int complex_out, int power, REAL *out) {
    if (n == 0 || spec->rows == 0) return EK_OK;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_wavelet_bank bank;
    ek_wavelet_resize resize;
    rows_job j = {.x = x,
                  .bank = &bank,
                  .width = width,
                  .complex_out = complex_out,
                  .power = power,
                  .out = out};
    ek_status st = ek_wavelet_bank_make(t, spec, FFT_TYPE, &bank, tmp);
    if (st == EK_OK && !complex_out && width != t) {
        st = ek_wavelet_resize_make(t, width, &resize, tmp);
        j.resize = &resize;
    }
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, FFT_TYPE, bank.nfft, &j.forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_BACKWARD, FFT_TYPE, bank.nfft, &j.backward);
    if (st == EK_OK) st = transform_all(&j, n, tmp);
    ek_fft_put(j.forward);
    ek_fft_put(j.backward);
    ek_arena_return(tmp);
    return st;
}
