#include "image_impl.h"
#include <math.h>

static const float MEAN[3] = {0.485f, 0.456f, 0.406f}, DEVIATION[3] = {0.229f, 0.224f, 0.225f};

ek_status ek_area_make(size_t n, size_t m, ek_area *a, ek_arena *tmp) {
    if (n == 0 || m == 0 || n > UINT32_MAX || m > UINT32_MAX) return EK_ESHAPE;
    a->n = n;
    a->m = m;
    a->most = n / m + 2;
    a->first = ek_arena_alloc(tmp, m, sizeof *a->first);
    a->count = ek_arena_alloc(tmp, m, sizeof *a->count);
    a->weight = ek_arena_f32(tmp, m * a->most);
    if (a->first == NULL || a->count == NULL || a->weight == NULL) return EK_ENOMEM;
    for (size_t o = 0; o < m;
         o++) { /* in units of 1/m of an input cell, so that the borders are exact integers */
        const uint64_t low = (uint64_t)o * n, high = low + n;
        const uint64_t first = low / m, end = (high + m - 1) / m;
        a->first[o] = (uint32_t)first;
        a->count[o] = (uint32_t)(end - first);
        for (uint64_t i = first; i < end; i++) {
            const uint64_t from = i * m > low ? i * m : low;
            const uint64_t to = (i + 1) * m < high ? (i + 1) * m : high;
            a->weight[o * a->most + (i - first)] = (float)((double)(to - from) / (double)n);
        }
    }
    return EK_OK;
}

void ek_area_resize_f32(const float *picture, const ek_area *rows, const ek_area *cols, float *line,
                        float *out) {
    for (size_t r = 0; r < rows->m; r++) {
        const float *w = rows->weight + r * rows->most;
        for (uint32_t k = 0; k < rows->count[r]; k++) {
            const float *in = picture + (rows->first[r] + k) * cols->n;
            if (k == 0)
                for (size_t c = 0; c < cols->n; c++) line[c] = w[0] * in[c];
            else
                for (size_t c = 0; c < cols->n; c++) line[c] += w[k] * in[c];
        }
        for (size_t c = 0; c < cols->m; c++) {
            const float *v = cols->weight + c * cols->most, *in = line + cols->first[c];
            float sum = v[0] * in[0];
            for (uint32_t k = 1; k < cols->count[c]; k++) sum += v[k] * in[k];
            out[r * cols->m + c] = sum;
        }
    }
}

void ek_minmax_f32_ref(float *x, size_t n) {
    if (n == 0) return;
    float low = x[0], high = x[0];
    int nan = 0;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        nan |= x[i] != x[i];
    }
    const float range = high - low;
    if (nan)
        for (size_t i = 0; i < n; i++) x[i] = NAN;
    else if (range > 0.0f)
        for (size_t i = 0; i < n; i++) x[i] = (x[i] - low) / range;
    else
        for (size_t i = 0; i < n; i++) x[i] = 0.0f;
}

void ek_minmax_f32(float *x, size_t n) {
    static const struct {
        unsigned need;
        void (*fn)(float *, size_t);
    } MINMAX[] = {
        {EK_CPU_AVX2, ek_minmax_f32_avx2},
        {0,           ek_minmax_f32_ref },
    };
    EK_PICK(MINMAX)(x, n);
}

static float
ramp(float v, float centre) { /* jet: trapezes of height 1, 1.5 - |4v - centre| between 0 and 1 */
    const float y = 1.5f - fabsf(4.0f * v - centre);
    return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}

void ek_imagenet_f32(const float *grey, size_t n, int jet, float *out) {
    for (size_t c = 0; c < 3; c++) {
        float *o = out + c * n;
        if (!jet) {
            for (size_t i = 0; i < n; i++) o[i] = (grey[i] - MEAN[c]) / DEVIATION[c];
            continue;
        }
        float table[256];
        for (int k = 0; k < 256; k++)
            table[k] = (ramp((float)k / 255.0f, 3.0f - (float)c) - MEAN[c]) / DEVIATION[c];
        for (size_t i = 0; i < n; i++) {
            const float v = grey[i] * 256.0f;
            o[i] = v != v ? v : table[v < 0.0f ? 0 : v >= 255.0f ? 255 : (int)v];
        }
    }
}
