/* cpus.c - how many CPUs this process may use, and the cache of one.
 *
 * Invariant: never more than the affinity mask allows, never less than one; whatever cannot be read
 * sets no limit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/pool.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 1024, MAX_CPUS = 8192 }; /* Linux on x86-64 can be built for 8192 CPUs */

int pool_affinity_cpus(void) {
#ifdef __linux__
    cpu_set_t set[MAX_CPUS / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof set, set) == 0) {
        int count = CPU_COUNT_S(sizeof set, set);
        if (count > 0) return count;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

static int quota_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? 0 : (int)cpus;
}

/* cpu.max of version 2: "150000 100000" or "max 100000". */
static int v2_cpus(const char *folder) {
    char path[MAX_PATH];
    long long quota = 0, period = 0;
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= MAX_PATH) return 0;
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    bool limited = fscanf(f, "%lld %lld", &quota, &period) == 2;
    fclose(f);
    return limited ? quota_cpus(quota, period) : 0;
}

static long long v1_number(const char *folder, const char *name) {
    char path[MAX_PATH];
    long long value = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= MAX_PATH) return 0;
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    if (fscanf(f, "%lld", &value) != 1) value = 0;
    fclose(f);
    return value;
}

/* Version 1: a quota of -1 means none. */
static int v1_cpus(const char *folder) {
    return quota_cpus(v1_number(folder, "cpu.cfs_quota_us"),
                      v1_number(folder, "cpu.cfs_period_us"));
}

/* The least limit of mount/group and every folder above it, down to the mount itself: each level of
 * the tree holds back the ones below. In a container the group may not be visible; its mount is. */
static int least_up_the_tree(const char *mount, const char *group, int (*cpus)(const char *)) {
    char path[MAX_PATH];
    int least = 0;
    size_t root = strlen(mount);
    if (snprintf(path, sizeof path, "%s%s", mount, group) >= MAX_PATH) return 0;
    for (;;) {
        int here = cpus(path);
        if (here && (!least || here < least)) least = here;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < root) return least;
        *slash = 0;
    }
}

/* "cpu,cpuacct" has "cpu". */
static bool lists_cpu(const char *controllers) {
    for (const char *c = controllers; *c;) {
        size_t length = strcspn(c, ",");
        if (length == 3 && !memcmp(c, "cpu", 3)) return true;
        c += length + (c[length] == ',');
    }
    return false;
}

int pool_cgroup_cpus(const char *list, const char *mount) {
    char line[MAX_PATH], folder[MAX_PATH];
    int least = 0;
    FILE *f = fopen(list, "re");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) { /* "4:cpu,cpuacct:/user.slice"; version 2: "0::/a" */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        int here = 0;
        if (!*controllers) {
            here = least_up_the_tree(mount, group, v2_cpus);
        } else if (lists_cpu(controllers) &&
                   snprintf(folder, sizeof folder, "%s/%s", mount, controllers) < MAX_PATH) {
            here = least_up_the_tree(folder, group, v1_cpus);
        }
        if (here && (!least || here < least)) least = here;
    }
    fclose(f);
    return least;
}

int pool_default_threads(void) {
    int cpus = pool_affinity_cpus(),
        quota = pool_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < cpus ? quota : cpus;
}

size_t cpu_l2_bytes(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes > 0 ? (size_t)bytes : 0;
#else
    return 0;
#endif
}
