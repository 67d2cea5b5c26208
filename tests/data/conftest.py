import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # fake_soap must be importable here and in worker processes
