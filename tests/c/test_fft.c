/* The plan cache from eight threads at once, and transforms against their definition. */
#include "ek_test.h"
#include <pthread.h>
#include "ek_fft.h"

static void transforms_are_what_they_say(void) {
    static const size_t lengths[] = {1, 2, 3, 16, 30, 97, 128};
    ek_arena *a = ek_arena_new();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t n = lengths[i];
        double *x = ek_arena_f64(a, n), *spectrum = ek_arena_f64(a, n + 2),
               *back = ek_arena_f64(a, n);
        ek_fft_plan *forward, *backward;
        for (size_t k = 0; k < n; k++) x[k] = sin((double)(k * k));
        CHECK_STATUS(ek_fft_get(EK_FFT_R2C, EK_FFT_F64, n, &forward), EK_OK);
        CHECK_STATUS(ek_fft_get(EK_FFT_C2R, EK_FFT_F64, n, &backward), EK_OK);
        ek_fft_run_f64(forward, x, spectrum);
        for (size_t k = 0; k <= n / 2; k++) {
            double re = 0.0, im = 0.0;
            for (size_t m = 0; m < n; m++) {
                const double angle = 2.0 * 3.14159265358979323846 * (double)(k * m % n) / (double)n;
                re += x[m] * cos(angle);
                im -= x[m] * sin(angle);
            }
            CHECK_CLOSE(spectrum[2 * k], re, 1e-12 * (double)n);
            CHECK_CLOSE(spectrum[2 * k + 1], im, 1e-12 * (double)n);
        }
        ek_fft_run_f64(backward, spectrum, back);
        for (size_t k = 0; k < n; k++) CHECK_CLOSE(back[k] / (double)n, x[k], 1e-14);
        ek_fft_put(forward);
        ek_fft_put(backward);
        ek_arena_reset(a, 0);
    }
    ek_arena_free(a);
}

static void *hammer(void *arg) {
    uint32_t s = *(uint32_t *)arg;
    ek_arena *a = ek_arena_new();
    for (int i = 0; i < 200; i++) {
        s = s * 1664525u + 1013904223u;
        const size_t n = 8 + (s >> 16) % (2 * EK_FFT_CACHE_LIMIT);
        ek_fft_plan *p;
        CHECK_STATUS(ek_fft_get(EK_FFT_FORWARD, EK_FFT_F32, n, &p), EK_OK);
        float *x = ek_arena_f32(a, 2 * n), *y = ek_arena_f32(a, 2 * n);
        for (size_t k = 0; k < 2 * n; k++) x[k] = k < 2 ? 1.0f - (float)k : 0.0f;
        if (i % 50 == 0) ek_fft_cache_clear();
        ek_fft_run_f32(p, x, y);
        for (size_t k = 0; k < n; k++) {
            CHECK_CLOSE(y[2 * k], 1.0, 1e-5);
            CHECK_CLOSE(y[2 * k + 1], 0.0, 1e-5);
        }
        ek_fft_put(p);
        ek_arena_reset(a, 0);
    }
    ek_arena_free(a);
    return NULL;
}

static void eight_threads_share_the_cache(void) {
    pthread_t thread[8];
    uint32_t seed[8];
    for (uint32_t i = 0; i < 8; i++) {
        seed[i] = i;
        CHECK(pthread_create(&thread[i], NULL, hammer, &seed[i]) == 0);
    }
    for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL);
    CHECK(ek_fft_cache_count() <= EK_FFT_CACHE_LIMIT);
    ek_fft_cache_clear();
    CHECK(ek_fft_cache_count() == 0);
}

static void a_length_of_zero_is_refused(void) {
    ek_fft_plan *p;
    CHECK_STATUS(ek_fft_get(EK_FFT_R2C, EK_FFT_F32, 0, &p), EK_ESHAPE);
    CHECK(p == NULL);
}

static void good_sizes(void) {
    CHECK(ek_fft_good_size(1) == 1 && ek_fft_good_size(5) == 5 && ek_fft_good_size(7) == 8);
    CHECK(ek_fft_good_size(200) == 256 && ek_fft_good_size(1000) == 1024);
    CHECK(ek_fft_good_size(10000) == 10240);
}

TEST_MAIN({"transforms_are_what_they_say", transforms_are_what_they_say},
          {"eight_threads_share_the_cache", eight_threads_share_the_cache},
          {"a_length_of_zero_is_refused", a_length_of_zero_is_refused}, {"good_sizes", good_sizes})
