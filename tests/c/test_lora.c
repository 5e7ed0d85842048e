/* Merges of odd sizes, every array between guard pages: nothing is read or written beyond them,
 * every number of the result is written, and it is that of the reference within a rounding. */
#include "ek_test.h"
#include "ek_lora.h"

enum { MOST_SETS = 3 };
static const unsigned SETS[MOST_SETS] = {0, EK_CPU_AVX2, EK_CPU_AVX2 | EK_CPU_AVX512};
static const size_t BYTES[EK_LORA_TYPES] = {4, 2, 2};

static float as_float(const void *p, ek_lora_type type, size_t i) {
    float x;
    if (type == EK_LORA_F32) return ((const float *)p)[i];
    ek_lora_widen((const uint16_t *)p + i, type, 1, &x);
    return x;
}

/* exact: bfloat16 holds the factors, which has a path of its own. */
static void one(size_t m, size_t n, size_t r, ek_lora_type type, int stats, int exact, int at_end) {
    const size_t bytes = m * n * BYTES[type];
    ek_guard w = ek_guarded(bytes, at_end), out = ek_guarded(bytes, at_end),
             want = ek_guarded(bytes, at_end), a = ek_guarded(r * n * 4, at_end),
             b = ek_guarded(m * r * 4, at_end);
    float *values = malloc((m * n + 1) * sizeof *values);
    if (values == NULL) abort();
    ek_noise(values, m * n, 1);
    ek_noise(a.p, r * n, 2);
    ek_noise(b.p, m * r, 3);
    for (size_t i = 0; exact && i < r * n; i++) ((float *)a.p)[i] = (float)(i % 7) - 3.0f;
    for (size_t i = 0; exact && i < m * r; i++) ((float *)b.p)[i] = (float)(i % 5) / 16.0f;
    if (type == EK_LORA_F32)
        memcpy(w.p, values, bytes);
    else
        (void)ek_lora_narrow(values, type, m * n, w.p);
    const ek_lora_pair pair = {a.p, b.p, r, 0.5f};
    ek_lora_stats seen;
    ek_lora_job job = {.w = w.p,
                       .out = want.p,
                       .w_type = type,
                       .out_type = type,
                       .m = m,
                       .n = n,
                       .pair = &pair,
                       .pairs = 1,
                       .stats = stats ? &seen : NULL};
    ek_cpu_use(0);
    CHECK_STATUS(ek_lora_merge(&job), EK_OK);
    const double step = type == EK_LORA_F32 ? 1e-6 : type == EK_LORA_BF16 ? 1.0 / 128 : 1.0 / 1024;
    for (size_t set = 0; set < MOST_SETS; set++) {
        if ((SETS[set] & ek_cpu_available()) != SETS[set]) continue;
        ek_cpu_use(SETS[set]);
        job.out = out.p;
        memset(out.p, 0xff, bytes);
        CHECK_STATUS(ek_lora_merge(&job), EK_OK);
        for (size_t i = 0; i < m * n; i++) {
            const double y = as_float(want.p, type, i);
            CHECK_CLOSE(as_float(out.p, type, i), y, step * (1.0 + fabs(y)));
        }
    }
    memcpy(want.p, out.p, bytes);
    job.out = w.p; /* out may be w */
    CHECK_STATUS(ek_lora_merge(&job), EK_OK);
    CHECK(memcmp(w.p, want.p, bytes) == 0);
    ek_cpu_use(~0u);
    free(values);
    ek_unguard(&w), ek_unguard(&out), ek_unguard(&want), ek_unguard(&a), ek_unguard(&b);
}

static void sizes(void) {
    static const size_t M[] = {1, 7, 8, 17}, N[] = {1, 31, 32, 48, 97}, R[] = {1, 4, 5};
    for (size_t i = 0; i < sizeof M / sizeof *M; i++)
        for (size_t j = 0; j < sizeof N / sizeof *N; j++)
            for (size_t k = 0; k < sizeof R / sizeof *R; k++)
                for (int how = 0; how < 24; how++)
                    one(M[i], N[j], R[k], (ek_lora_type)(how % 3), how / 3 % 2, how / 6 % 2,
                        how / 12);
}

static void refusals(void) {
    float w[4] = {0};
    ek_lora_job job = {.w = w, .out = w, .w_type = EK_LORA_F32, .out_type = EK_LORA_BF16};
    CHECK_STATUS(ek_lora_merge(&job), EK_EVALUE);
    job.out_type = EK_LORA_F32;
    CHECK_STATUS(ek_lora_merge(&job), EK_OK); /* nothing to do */
}

TEST_MAIN({"sizes", sizes}, {"refusals", refusals})
