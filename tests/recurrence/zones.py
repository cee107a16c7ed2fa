"""Time zones with unusual clock changes."""

MADRID = "Europe/Madrid"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"  # its clocks change by half an hour
NUUK = "America/Nuuk"  # its clocks go forward at 23:00, so that 23:30 is the next day
APIA = "Pacific/Apia"  # it left out 2011-12-30
