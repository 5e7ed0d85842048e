#include "ek_core.h"
#include <stdatomic.h>

enum { UNSET = 1u << 31 };

static _Atomic unsigned active_mask = UNSET;

unsigned ek_cpu_available(void) {
    unsigned mask = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        mask |= EK_CPU_AVX2; /* every processor with AVX2 and FMA has F16C */
    if ((mask & EK_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw"))
        mask |= EK_CPU_AVX512;
#endif
    return mask;
}

unsigned ek_cpu_active(void) {
    unsigned mask = atomic_load_explicit(&active_mask, memory_order_relaxed);
    if (mask == UNSET) {
        mask = ek_cpu_available();
        atomic_store_explicit(&active_mask, mask, memory_order_relaxed);
    }
    return mask;
}

void ek_cpu_use(unsigned mask) {
    atomic_store_explicit(&active_mask, mask & ek_cpu_available(), memory_order_relaxed);
}

int ek_cpu_dots_bf16(void) {
#if defined(__x86_64__)
    return (ek_cpu_active() & EK_CPU_AVX512) && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}
