/* Stacked scalograms between guard pages: every variant against the reference, odd counts of lanes,
 * columns and rows. */
#include "ek_test.h"
#include "ek_wavelet.h"

static void variant_agrees_with_ref(unsigned isa, size_t leads, size_t t,
                                    const ek_stack_spec *stack, ek_pad pad) {
    enum { ROWS = 7 };
    const double freqs[ROWS] = {45.0, 30.0, 17.0, 9.0, 4.0, 2.0, 0.3};
    const ek_wavelet_spec spec = {freqs, ROWS, 100.0, 6.0, pad};
    const size_t windows = t / stack->window;
    const size_t picture =
        stack->image_h ? 3 * stack->image_h * stack->image_w : leads * ROWS * stack->width;
    const size_t n = 2, bytes = n * windows * picture * sizeof(float);
    ek_guard x = ek_guarded(n * leads * t * sizeof(float), 1);
    ek_guard got = ek_guarded(bytes, 1), want = ek_guarded(bytes, 0);
    ek_noise(x.p, n * leads * t, (uint32_t)(leads + t));
    ek_cpu_use(0);
    CHECK_STATUS(ek_wavelet_stacked_f32(x.p, n, leads, t, &spec, stack, want.p), EK_OK);
    ek_cpu_use(isa);
    CHECK_STATUS(ek_wavelet_stacked_f32(x.p, n, leads, t, &spec, stack, got.p), EK_OK);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        CHECK_CLOSE(((float *)got.p)[i], ((float *)want.p)[i], 1e-5);
    ek_unguard(&x), ek_unguard(&got), ek_unguard(&want);
    ek_cpu_use(ek_cpu_available());
}

static void each(unsigned isa) {
    /* clang-format off */ /* version 14 crashes on rows of different lengths */
    static const ek_stack_spec stacks[] = {
        {.window = 50, .width = 32, .scale = EK_STACK_MINMAX},
        {.window = 33, .width = 9, .scale = EK_STACK_LEAD},
        {.window = 64, .width = 64, .power = 1},
        {.window = 1, .width = 3},
        {.window = 60, .width = 13, .cwt_first = 1, .scale = EK_STACK_MINMAX},
        {.window = 50, .width = 20, .scale = EK_STACK_MINMAX, .image_h = 11, .image_w = 17},
    };
    /* clang-format on */
    if (isa & ~ek_cpu_available()) return;
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        for (size_t leads = 1; leads <= 17; leads += 4)
            for (int pad = EK_PAD_REFLECT; pad <= EK_PAD_PERIODIC; pad++)
                variant_agrees_with_ref(isa, leads, 130, &stacks[i], (ek_pad)pad);
}

static void avx2(void) {
    each(EK_CPU_AVX2);
}

static void avx512(void) {
    each(EK_CPU_AVX2 | EK_CPU_AVX512);
}

/* cwt and scalograms of every variant against the reference (isa 0: one full-length transform per
 * row). */
static void rows_agree_with_ref(unsigned isa, size_t t, ek_pad pad, size_t width, int power) {
    enum { ROWS = 9, N = 3 };
    const double freqs[ROWS] = {0.3, 1.0, 3.0, 8.0, 14.0, 20.0, 26.0, 33.0, 50.0};
    const ek_wavelet_spec spec = {freqs, ROWS, 100.0, 6.0, pad};
    const size_t count = N * ROWS * (width ? width : 2 * t);
    ek_guard x = ek_guarded(N * t * sizeof(float), 1);
    ek_guard got = ek_guarded(count * sizeof(float), 1),
             want = ek_guarded(count * sizeof(float), 0);
    ek_noise(x.p, N * t, (uint32_t)t);
    for (int k = 0; k < 2; k++) {
        float *out = k ? got.p : want.p;
        ek_cpu_use(k ? isa : 0);
        CHECK_STATUS(width ? ek_wavelet_scalogram_f32(x.p, N, t, &spec, width, power, out)
                           : ek_wavelet_cwt_f32(x.p, N, t, &spec, out),
                     EK_OK);
    }
    for (size_t i = 0; i < count; i++) CHECK_CLOSE(((float *)got.p)[i], ((float *)want.p)[i], 5e-6);
    ek_unguard(&x), ek_unguard(&got), ek_unguard(&want);
    ek_cpu_use(ek_cpu_available());
}

static void rows(void) {
    static const size_t lengths[] = {1, 2, 5, 64, 100, 333, 1000};
    for (unsigned isa = EK_CPU_AVX2; isa <= (EK_CPU_AVX2 | EK_CPU_AVX512); isa += 2)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (int pad = EK_PAD_REFLECT; pad <= EK_PAD_PERIODIC; pad++) {
                const size_t t = lengths[i];
                if (isa & ~ek_cpu_available()) continue;
                rows_agree_with_ref(isa, t, (ek_pad)pad, 0, 0);
                rows_agree_with_ref(isa, t, (ek_pad)pad, t, 0);
                rows_agree_with_ref(isa, t, (ek_pad)pad, 37, 1);
            }
}

/* A part of a long signal between guard pages: the reference's rows, a block and a bit, columns. */
static void parts(void) {
    enum { ROWS = 3 };
    const double freqs[ROWS] = {1.0, 9.0, 49.0};
    const ek_wavelet_spec spec = {freqs, ROWS, 100.0, 6.0, EK_PAD_REFLECT};
    size_t step, length, left;
    CHECK_STATUS(ek_wavelet_block(&spec, 1, &step, &length, &left), EK_OK);
    const size_t t = step + 77, row = step + length;
    const ek_part_columns part = {t, 50, 0, 0, 50, 0};
    ek_guard x = ek_guarded(row * sizeof(float), 1);
    ek_guard want = ek_guarded(2 * ROWS * t * sizeof(float), 0);
    ek_guard got = ek_guarded(2 * ROWS * t * sizeof(float), 1);
    ek_guard columns = ek_guarded(ROWS * 50 * sizeof(float), 1);
    ek_noise(x.p, row, 3);
    for (unsigned isa = 0; isa <= (EK_CPU_AVX2 | EK_CPU_AVX512); isa++) {
        if ((isa & ~ek_cpu_available()) || isa == EK_CPU_AVX512) continue;
        ek_cpu_use(isa);
        CHECK_STATUS(ek_wavelet_cwt_part_f32(x.p, 1, t, &spec, isa ? got.p : want.p), EK_OK);
        for (size_t i = 0; isa && i < 2 * ROWS * t; i++)
            CHECK_CLOSE(((float *)got.p)[i], ((float *)want.p)[i], 5e-6);
        CHECK_STATUS(ek_wavelet_scalogram_part_f32(x.p, 1, t, &spec, &part, columns.p), EK_OK);
    }
    ek_unguard(&x), ek_unguard(&want), ek_unguard(&got), ek_unguard(&columns);
    ek_cpu_use(ek_cpu_available());
    const ek_wavelet_spec wide = {freqs, ROWS, 100.0, 4.0, EK_PAD_REFLECT};
    CHECK_STATUS(ek_wavelet_block(&wide, 1, &step, &length, &left), EK_EVALUE);
}

static void wrong_lengths_are_refused(void) {
    const double f = 5.0;
    const ek_wavelet_spec spec = {&f, 1, 100.0, 6.0, EK_PAD_REFLECT};
    const ek_stack_spec stack = {.window = 11, .width = 4};
    float x[10] = {0}, out[8];
    CHECK_STATUS(ek_wavelet_stacked_f32(x, 1, 1, 10, &spec, &stack, out), EK_ESHAPE);
    CHECK_STATUS(ek_wavelet_cwt_f32(x, 1, 0, &spec, out), EK_ESHAPE);
}

TEST_MAIN({"avx2", avx2}, {"avx512", avx512}, {"rows", rows}, {"parts", parts},
          {"wrong_lengths_are_refused", wrong_lengths_are_refused})
