/* A libnvidia-ml.so.1 of two pretended cards, for the real bindings of any age: as NVML does, it fills what it is
 * given and returns a code. NVML_FAULT="<card> <function> <code>" makes that function fail for that card with that
 * code, "<card> all <code>" every one; NVML_MIG is the card in MIG mode. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, CARDS = 2 };
typedef struct card { const char *uuid, *name; int major, minor; unsigned long long memory; } card;
static const card cards[CARDS] = {
    {"GPU-11111111-aaaa-bbbb-cccc-000000000001", "NVIDIA H200", 9, 0, 150754820096ull},
    {"GPU-22222222-aaaa-bbbb-cccc-000000000002", "NVIDIA L4", 8, 9, 24152899584ull},
};

static int fault(const card *asked, const char *function) {
    int index, code;
    char at[80];
    const char *set = getenv("NVML_FAULT");
    if (!set || sscanf(set, "%d %79s %d", &index, at, &code) != 3 || asked != &cards[index]) return OK;
    return strcmp(at, "all") == 0 || strcmp(at, function) == 0 ? code : OK;
}
#define CHECK(asked) do { int code_ = fault(asked, __func__); if (code_) return code_; } while (0)

static int text(const char *from, char *to, unsigned length) {
    return snprintf(to, length, "%s", from) < (int)length ? OK : INVALID_ARGUMENT;
}

int nvmlInit_v2(void) { return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == 15 ? "GPU is lost" : "Unknown Error"; }
int nvmlSystemGetDriverVersion(char *to, unsigned length) { return text("580.95.05", to, length); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = CARDS; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, const card **to) {
    if (index >= CARDS) return INVALID_ARGUMENT;
    CHECK(&cards[index]);
    *to = &cards[index];
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, const card **to) {
    for (*to = cards; *to < cards + CARDS; ++*to)
        if (strcmp((*to)->uuid, uuid) == 0) return fault(*to, __func__);
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(const card *of, char *to, unsigned length) { CHECK(of); return text(of->uuid, to, length); }
int nvmlDeviceGetName(const card *of, char *to, unsigned length) { CHECK(of); return text(of->name, to, length); }
int nvmlDeviceGetCudaComputeCapability(const card *of, int *major, int *minor) {
    CHECK(of);
    *major = of->major, *minor = of->minor;
    return OK;
}
int nvmlDeviceGetMigMode(const card *of, unsigned *now, unsigned *pending) {
    const char *sliced = getenv("NVML_MIG");
    CHECK(of);
    *now = *pending = sliced && of == &cards[atoi(sliced)];
    return OK;
}
int nvmlDeviceGetMemoryInfo(const card *of, unsigned long long *total_free_used) {
    CHECK(of);
    total_free_used[0] = of->memory, total_free_used[2] = 1ull << 30;
    total_free_used[1] = of->memory - total_free_used[2];
    return OK;
}
int nvmlDeviceGetTemperature(const card *of, int sensor, unsigned *celsius) { CHECK(of); *celsius = 31 + sensor; return OK; }
int nvmlDeviceGetPowerUsage(const card *of, unsigned *milliwatt) { CHECK(of); *milliwatt = 71250; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(const card *of, unsigned long long *mask) { CHECK(of); *mask = 1; return OK; }
int nvmlDeviceGetEccMode(const card *of, unsigned *now, unsigned *pending) { CHECK(of); *now = *pending = 1; return OK; }
int nvmlDeviceGetTotalEccErrors(const card *of, int kind, int counter, unsigned long long *count) {
    (void)kind, (void)counter;
    CHECK(of);
    *count = 0;
    return OK;
}
