/* Similarity to prototypes with every array between guard pages, by both ways, against the formula
 * in double. */
#include "ek_test.h"
#include "ek_proto.h"

enum { MOST_SETS = 3 };
static const unsigned SETS[MOST_SETS] = {0, EK_CPU_AVX2, EK_CPU_AVX2 | EK_CPU_AVX512};

static void one(size_t n, size_t d, size_t t, size_t p, size_t w, int metric, int direct,
                int at_end) {
    const size_t k = t - w + 1;
    ek_guard x = ek_guarded(n * d * t * sizeof(float), at_end),
             v = ek_guarded(p * d * w * sizeof(float), at_end),
             out = ek_guarded(n * p * k * sizeof(float), at_end),
             pooled = ek_guarded(n * p * sizeof(float), at_end),
             best = ek_guarded(n * p * sizeof(int64_t), at_end);
    float *want = malloc(n * p * k * sizeof *want);
    if (want == NULL) abort();
    ek_noise(x.p, n * d * t, 1);
    ek_noise(v.p, p * d * w, 2);
    ek_proto_how how = {.metric = (ek_proto_metric)metric, .k = 2, .direct = direct};
    CHECK_STATUS(ek_proto_similarity_ref(x.p, v.p, n, d, t, p, w, &how, want), EK_OK);
    ek_proto_bank *bank = NULL;
    CHECK_STATUS(ek_proto_bank_new(v.p, p, d, w, direct ? 0 : t, &bank), EK_OK);
    for (size_t set = 0; set < MOST_SETS; set++) {
        if ((SETS[set] & ek_cpu_available()) != SETS[set]) continue;
        ek_cpu_use(SETS[set]);
        how.pool = EK_PROTO_ALL;
        memset(out.p, 0xff, n * p * k * sizeof(float));
        CHECK_STATUS(ek_proto_similarity(bank, x.p, n, t, &how, out.p, NULL), EK_OK);
        for (size_t i = 0; i < n * p * k; i++)
            CHECK_CLOSE(((float *)out.p)[i], want[i], 2e-5 * (1.0 + fabs(want[i])));
        how.pool = EK_PROTO_MAX;
        memset(best.p, 0xff, n * p * sizeof(int64_t));
        CHECK_STATUS(ek_proto_similarity(bank, x.p, n, t, &how, pooled.p, best.p), EK_OK);
        for (size_t i = 0; i < n * p; i++) {
            const int64_t at = ((int64_t *)best.p)[i];
            CHECK(at >= 0 && (size_t)at < k);
            CHECK(((float *)pooled.p)[i] == ((float *)out.p)[i * k + (size_t)at]);
        }
    }
    ek_cpu_use(~0u);
    ek_proto_bank_free(bank);
    free(want);
    ek_unguard(&x), ek_unguard(&v), ek_unguard(&out), ek_unguard(&pooled), ek_unguard(&best);
}

static void sizes(void) {
    static const size_t T[] = {5, 23, 64}, W[] = {1, 5};
    for (size_t i = 0; i < sizeof T / sizeof *T; i++)
        for (size_t j = 0; j < sizeof W / sizeof *W; j++)
            for (int how = 0; how < 12; how++) {
                one(1, 3, T[i], 2, W[j], how % 3, how / 3 % 2, how / 6);
                one(19, 7, T[i], 35, W[j], how % 3, how / 3 % 2, how / 6);
            }
}

TEST_MAIN({"sizes", sizes})
