/* call ABI NUMBER ARGUMENT...: make one system call by the ABI x86-64, x32 or i386, and print 0 or the error's number.
 * What a call gives that worked does not matter. Built static, it runs in any container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long by_syscall(long number, const long *a)
{
    long result;
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long by_interrupt(long number, const long *a)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"((int)number), "b"((int)a[0]), "c"((int)a[1]), "d"((int)a[2]),
                     "S"((int)a[3]), "D"((int)a[4]) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

int main(int count, char **words)
{
    long a[6] = {0}, number, result;
    int i;
    if (count < 3)
        return 2;
    number = strtol(words[2], NULL, 0);
    for (i = 3; i < count && i < 9; i++)
        a[i - 3] = (long)strtoul(words[i], NULL, 0);
    if (!strcmp(words[1], "i386"))
        result = by_interrupt(number, a);
    else
        result = by_syscall(!strcmp(words[1], "x32") ? number | 0x40000000 : number, a);
    printf("%ld\n", result < 0 && result > -4096 ? -result : 0);
    return 0;
}
