#include "ek_core.h"

const char *ek_strstatus(ek_status st) {
    switch (st) {
    case EK_OK: return "ok";
    case EK_ENOMEM: return "out of memory";
    case EK_ESHAPE: return "bad shape";
    case EK_EVALUE: return "bad value";
    case EK_EIO: return "read failed";
    case EK_EFORMAT: return "malformed data";
    case EK_EINTR: return "interrupted";
    case EK_EINTERNAL: return "internal error";
    }
    return "unknown status";
}
