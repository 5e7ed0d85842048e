/* Dispatch: levels imply each other, a forced mask is kept within the machine, the pick is the best
 * that is allowed. */
#include "ek_test.h"

static int ref(void) {
    return 0;
}
static int avx2(void) {
    return 2;
}
static int avx512(void) {
    return 512;
}

static int picked(void) {
    static const struct {
        unsigned need;
        int (*fn)(void);
    } TABLE[] = {
        {EK_CPU_AVX512, avx512},
        {EK_CPU_AVX2,   avx2  },
        {0,             ref   }
    };
    return EK_PICK(TABLE)();
}

static void levels_imply_each_other(void) {
    const unsigned mask = ek_cpu_available();
    CHECK(!(mask & EK_CPU_AVX512) || (mask & EK_CPU_AVX2));
    CHECK((mask & ~(unsigned)(EK_CPU_AVX2 | EK_CPU_AVX512)) == 0);
    CHECK(ek_cpu_active() == mask);
}

static void a_forced_mask_stays_within_the_machine(void) {
    const unsigned have = ek_cpu_available();
    ek_cpu_use(~0u);
    CHECK(ek_cpu_active() == have);
    ek_cpu_use(0);
    CHECK(ek_cpu_active() == 0 && picked() == 0);
    ek_cpu_use(EK_CPU_AVX2);
    CHECK(picked() == (have & EK_CPU_AVX2 ? 2 : 0));
    ek_cpu_use(have);
    CHECK(picked() == (have & EK_CPU_AVX512 ? 512 : have & EK_CPU_AVX2 ? 2 : 0));
}

static void every_status_has_a_text(void) {
    for (int st = EK_OK; st <= EK_EINTERNAL; st++)
        CHECK(strcmp(ek_strstatus((ek_status)st), "unknown status") != 0);
}

TEST_MAIN({"levels imply each other", levels_imply_each_other},
          {"a forced mask stays within the machine", a_forced_mask_stays_within_the_machine},
          {"every status has a text", every_status_has_a_text})
