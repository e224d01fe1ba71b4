#include <stdio.h>

/* The table of commands comes with cmd/. */
int main(void)
{
	return puts("flytrail") < 0;
}
