"""The directory: companies, houses, residents, dispatchers; how they are taken in and found again."""
