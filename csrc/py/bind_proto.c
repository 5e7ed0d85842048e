/* Prototype banks as capsules that ecgkit.proto keeps, and similarities to them. */
#include "ekpy.h"
#include "ek_proto.h"

static const char CAPSULE[] = "ecgkit.proto.bank";
static const char *const METRICS[] = {"cosine", "l2", "l2_log", NULL};
static const char *const POOLS[] = {"none", "mean", "max", "topk", NULL};

static void drop_bank(PyObject *capsule) {
    ek_proto_bank_free(PyCapsule_GetPointer(capsule, CAPSULE));
}

static PyObject *py_proto_bank(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "proto_bank", {"prototypes", "t", "threads", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS], *capsule = NULL;
    PyArrayObject *v = NULL;
    ek_proto_bank *bank = NULL;
    size_t t = 0, threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "t", 0, &t) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if ((v = ekpy_in(&sig, a[0], NPY_FLOAT, 3, 3, "prototypes")) == NULL) return NULL;
    if (PyArray_DIM(v, 1) == 0 || PyArray_DIM(v, 2) == 0 ||
        (t > 0 && t < (size_t)PyArray_DIM(v, 2))) {
        PyErr_Format(PyExc_ValueError,
                     "%s: prototypes must be (p, d, w) with d and w from 1 up, w at most t",
                     sig.name);
        goto done;
    }
    EKPY_RUN(st, threads,
             ek_proto_bank_new(PyArray_DATA(v), ekpy_dims(v, 0, 1), ekpy_dims(v, 1, 2),
                               ekpy_dims(v, 2, 3), t, &bank));
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        goto done;
    }
    if ((capsule = PyCapsule_New(bank, CAPSULE, drop_bank)) == NULL) ek_proto_bank_free(bank);
done:
    Py_DECREF((PyObject *)v);
    return capsule;
}

static PyObject *py_proto_similarity(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "proto_similarity",
        {"bank", "x", "metric", "pool", "k", "eps", "direct", "out", "best", "threads", NULL},
        2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL, *best = NULL;
    int metric = 0, pool = 0, direct = 0;
    size_t k = 1, threads = 0, p, d, w;
    double eps = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (!PyCapsule_IsValid(a[0], CAPSULE)) {
        PyErr_Format(PyExc_TypeError, "%s: bank must come from proto_bank", sig.name);
        return NULL;
    }
    const ek_proto_bank *bank = PyCapsule_GetPointer(a[0], CAPSULE);
    ek_proto_bank_dims(bank, &p, &d, &w);
    if (ekpy_choice(&sig, a[2], "metric", METRICS, &metric) < 0 ||
        ekpy_choice(&sig, a[3], "pool", POOLS, &pool) < 0 ||
        ekpy_size(&sig, a[4], "k", 1, &k) < 0 || ekpy_double(&sig, a[5], "eps", &eps) < 0 ||
        ekpy_bool(&sig, a[6], "direct", &direct) < 0 ||
        ekpy_size(&sig, a[9], "threads", 0, &threads) < 0)
        return NULL;
    if ((x = ekpy_in(&sig, a[1], NPY_FLOAT, 3, 3, "x")) == NULL) return NULL;
    const npy_intp n = PyArray_DIM(x, 0), t = PyArray_DIM(x, 2);
    if ((size_t)PyArray_DIM(x, 1) != d || (size_t)t < w) {
        PyErr_Format(PyExc_ValueError, "%s: x must be (n, %zu, at least %zu), got (%zd, %zd, %zd)",
                     sig.name, d, w, (Py_ssize_t)n, (Py_ssize_t)PyArray_DIM(x, 1), (Py_ssize_t)t);
        goto done;
    }
    const npy_intp shape[3] = {n, (npy_intp)p, t - (npy_intp)w + 1};
    if ((out = ekpy_out(&sig, a[7], NPY_FLOAT, pool ? 2 : 3, shape, "out")) == NULL) goto done;
    if (a[8] != NULL && (best = ekpy_out(&sig, a[8], NPY_INT64, 2, shape, "best")) == NULL) {
        Py_CLEAR(out);
        goto done;
    }
    if (ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    const ek_proto_how how = {(ek_proto_metric)metric, (ek_proto_pool)pool, k, (float)eps, direct};
    EKPY_RUN(st, threads,
             ek_proto_similarity(bank, PyArray_DATA(x), (size_t)n, (size_t)t, &how,
                                 PyArray_DATA(out), best ? PyArray_DATA(best) : NULL));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)best);
    return (PyObject *)out;
}

static PyObject *py_proto_similarity_ref(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                         PyObject *kw) {
    static const ekpy_sig sig = {
        "proto_similarity_ref", {"x", "prototypes", "metric", "eps", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *v = NULL, *out = NULL;
    int metric = 0;
    double eps = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_choice(&sig, a[2], "metric", METRICS, &metric) < 0) return NULL;
    if (ekpy_double(&sig, a[3], "eps", &eps) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 3, 3, "x")) == NULL) goto done;
    if ((v = ekpy_in(&sig, a[1], NPY_FLOAT, 3, 3, "prototypes")) == NULL) goto done;
    if (ekpy_same_dim(&sig, x, 1, v, 1, "x and prototypes") < 0) goto done;
    if (PyArray_DIM(v, 2) < 1 || PyArray_DIM(v, 2) > PyArray_DIM(x, 2)) {
        PyErr_Format(PyExc_ValueError, "%s: prototypes are longer than x", sig.name);
        goto done;
    }
    const npy_intp shape[3] = {PyArray_DIM(x, 0), PyArray_DIM(v, 0),
                               PyArray_DIM(x, 2) - PyArray_DIM(v, 2) + 1};
    const ek_proto_how how = {(ek_proto_metric)metric, EK_PROTO_ALL, 1, (float)eps, 1};
    if ((out = ekpy_out(&sig, NULL, NPY_FLOAT, 3, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, 1,
             ek_proto_similarity_ref(PyArray_DATA(x), PyArray_DATA(v), ekpy_dims(x, 0, 1),
                                     ekpy_dims(x, 1, 2), ekpy_dims(x, 2, 3), ekpy_dims(v, 0, 1),
                                     ekpy_dims(v, 2, 3), &how, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)v);
    return (PyObject *)out;
}

PyMethodDef ekpy_proto_methods[] = {
    EKPY_METHOD("proto_bank", py_proto_bank),
    EKPY_METHOD("proto_similarity", py_proto_similarity),
    EKPY_METHOD("proto_similarity_ref", py_proto_similarity_ref),
    {NULL, NULL, 0, NULL},
};
